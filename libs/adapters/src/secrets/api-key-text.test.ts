import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { generateApiKey, hashApiKey, isPlausibleApiKey, shownPrefix } from './api-key-text.js';

test('a key of known bytes, written out', () => {
  expect(generateApiKey((n) => new Uint8Array(n))).toBe(`phk_${'0'.repeat(32)}${CRC_OF_32_ZEROS}`);
  expect(generateApiKey((n) => new Uint8Array(n).fill(0xff))).toMatch(/^phk_z{32}/);
});

/** CRC-32 of thirty-two ASCII zeros is 0xa0f292d0 (from Python's zlib.crc32), here in base32. */
const CRC_OF_32_ZEROS = '2gf54pg';

test('every generated key is plausible and another one', () => {
  const keys = Array.from({ length: 200 }, () => generateApiKey(randomBytes));
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect([key.length, isPlausibleApiKey(key)]).toEqual([43, true]);
});

test('a mistyped key is known without asking anybody', () => {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  fc.assert(
    fc.property(
      fc.nat(38),
      fc.nat(30),
      fc.uint8Array({ minLength: 20, maxLength: 20 }),
      (at, step, bytes) => {
        const key = generateApiKey(() => bytes);
        const index = 4 + at;
        const other = alphabet[(alphabet.indexOf(key.charAt(index)) + 1 + step) % 32] ?? '';
        return !isPlausibleApiKey(key.slice(0, index) + other + key.slice(index + 1));
      },
    ),
  );
});

test.each([
  ['correct horse battery staple', true],
  ['x'.repeat(24), true],
  ['~'.repeat(256), true],
  ['phk_of-an-operator-who-likes-it', true],
  ['x'.repeat(23), false],
  ['x'.repeat(257), false],
  [` ${'x'.repeat(30)}`, false],
  [`${'x'.repeat(30)} `, false],
  [`${'x'.repeat(30)}\u00e9`, false],
  [`${'x'.repeat(30)}\t`, false],
])('an operator may choose %j: %s', (key, plausible) => {
  expect(isPlausibleApiKey(key)).toBe(plausible);
});

test('what is stored and what is shown', () => {
  // SHA-256 of "abc": FIPS 180-4, appendix B.1 of its example values.
  expect(Buffer.from(hashApiKey('abc')).toString('hex')).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  expect(shownPrefix('phk_0123456789')).toBe('phk_012345');
});
