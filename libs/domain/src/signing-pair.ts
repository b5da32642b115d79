import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';

/** An Ed25519 private key is any 32 bytes, and its public key has as many (RFC 8032, 5.1.5). */
export const SEED_BYTES = 32;

/** PKCS #8 of an Ed25519 key up to the seed that ends it (RFC 8410, section 7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
/** Marks a public key of the Standard Webhooks specification, whose bytes are the base64 that follows. */
const PUBLIC_KEY_PREFIX = 'whpk_';

/** An Ed25519 pair that signs for an endpoint. */
export interface SigningPair {
  readonly seed: Uint8Array<ArrayBuffer>;
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

export function generateSigningPair(randomBytes: (n: number) => Uint8Array): SigningPair {
  const seed = Uint8Array.from(randomBytes(SEED_BYTES));
  const { x = '' } = createPublicKey(privateKeyOf(seed)).export({ format: 'jwk' });
  return { seed, publicKey: Uint8Array.from(Buffer.from(x, 'base64url')) };
}

/** @throws {RangeError} when the seed does not have {@link SEED_BYTES} bytes */
export function privateKeyOf(seed: Uint8Array): KeyObject {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError(`a seed has ${SEED_BYTES} bytes`);
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

/** A public key as receivers configure it: `whpk_` and base64. */
export function publicKeyText(publicKey: Uint8Array): string {
  return PUBLIC_KEY_PREFIX + Buffer.from(publicKey).toString('base64');
}

/** A public key in a JSON Web Key Set (RFC 7517; RFC 8037, section 2). */
export interface PublicJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  /** The key's thumbprint (RFC 7638), so that it says nothing about whose it is. */
  readonly kid: string;
  readonly use: 'sig';
  readonly alg: 'EdDSA';
}

export function publicJwk(publicKey: Uint8Array): PublicJwk {
  const x = Buffer.from(publicKey).toString('base64url');
  // The required members in the order of their names, without white space (RFC 7638, section 3).
  const kid = createHash('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');
  return { kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' };
}
