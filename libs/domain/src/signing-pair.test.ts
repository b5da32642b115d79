import { createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { generateSigningPair, privateKeyOf, publicJwk, publicKeyText } from './signing-pair.js';

// RFC 8032, 7.1, test 2; the thumbprint is RFC 8037's, appendix A.3, of the key of test 1.
const SEED = Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex');
const PUBLIC = Buffer.from('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', 'hex');
const SIGNATURE =
  '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
  '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00';

test('a pair is what the specification makes of its seed', () => {
  const pair = generateSigningPair((n) => SEED.subarray(0, n));
  expect(Buffer.from(pair.publicKey)).toEqual(PUBLIC);
  expect(sign(null, Buffer.from([0x72]), privateKeyOf(pair.seed)).toString('hex')).toBe(SIGNATURE);
  expect(() => privateKeyOf(SEED.subarray(1))).toThrow(RangeError);
});

test('a key in a key set verifies, and its id is its thumbprint', () => {
  const first = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex');
  expect(publicJwk(first)).toEqual({
    kty: 'OKP',
    crv: 'Ed25519',
    x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
    kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
    use: 'sig',
    alg: 'EdDSA',
  });
  const pair = generateSigningPair(randomBytes);
  const message = Buffer.from('evt_1.1705320600.{}');
  const signature = sign(null, message, privateKeyOf(pair.seed));
  const key = createPublicKey({ key: { ...publicJwk(pair.publicKey) }, format: 'jwk' });
  expect(verify(null, message, key, signature)).toBe(true);
  expect(publicKeyText(pair.publicKey)).toBe(`whpk_${Buffer.from(pair.publicKey).toString('base64')}`);
});
