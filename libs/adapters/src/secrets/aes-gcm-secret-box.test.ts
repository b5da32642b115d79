import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { AesGcmSecretBox, SealedValueError, type EncryptionKey } from './aes-gcm-secret-box.js';

const keyOf = (id: string): EncryptionKey => ({ id, key: randomBytes(32) });
const old = keyOf('old');
const fresh = keyOf('2026-11');
const box = new AesGcmSecretBox([fresh, old]);

test.each([0, 1, 16, 70_000])('opens what it sealed: %i bytes', (bytes) => {
  const plain = randomBytes(bytes);
  const sealed = box.seal(plain, 'row-1');
  expect(Buffer.from(box.open(sealed, 'row-1')).equals(plain)).toBe(true);
  if (bytes > 4) expect(Buffer.from(sealed).includes(plain)).toBe(false);
});

test('the same text is never sealed into the same bytes', () => {
  const plain = Buffer.from('whsec_abc');
  expect(Buffer.from(box.seal(plain, 'row')).equals(box.seal(plain, 'row'))).toBe(false);
});

describe('rotation', () => {
  test('the first key seals, all of them open', () => {
    const plain = Buffer.from('secret');
    const before = new AesGcmSecretBox([old]).seal(plain, 'row');
    expect(Buffer.from(box.open(before, 'row'))).toEqual(plain);
    expect(() => new AesGcmSecretBox([old]).open(box.seal(plain, 'row'), 'row')).toThrow(
      /unknown key "2026-11"/,
    );
  });

  test('another key of the same id opens nothing', () => {
    const impostor = new AesGcmSecretBox([{ id: fresh.id, key: randomBytes(32) }]);
    expect(() => impostor.open(box.seal(Buffer.from('secret'), 'row'), 'row')).toThrow(SealedValueError);
  });
});

test('a value does not open in another row', () => {
  const sealed = box.seal(Buffer.from('secret'), 'row-1');
  expect(() => box.open(sealed, 'row-2')).toThrow(SealedValueError);
});

test('no byte of a sealed value can be changed, and none left out', () => {
  const sealed = box.seal(Buffer.from('secret'), 'row');
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Uint8Array.from(sealed, (byte, index) => (index === at ? byte ^ 1 : byte));
    expect(() => box.open(changed, 'row')).toThrow(SealedValueError);
    expect(() => box.open(sealed.subarray(0, at), 'row')).toThrow(SealedValueError);
  }
});

test.each<[string, EncryptionKey[], RegExp]>([
  ['no key', [], /at least one/],
  ['a short key', [{ id: 'a', key: randomBytes(16) }], /32 bytes/],
  ['an id twice', [keyOf('a'), keyOf('a')], /same id/],
])('refuses %s', (_, keys, message) => {
  expect(() => new AesGcmSecretBox(keys)).toThrow(message);
});
