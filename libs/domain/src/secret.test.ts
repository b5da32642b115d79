import { randomBytes } from 'node:crypto';

import { describe, expect, test } from '@jest/globals';

import { generateSecret, secretProblem } from './secret.js';
import type { SignatureSpec } from './signature.js';

const STANDARD: readonly SignatureSpec[] = [{ scheme: 'sha256-hex' }, { scheme: 'standard-webhooks' }];
const HEX: readonly SignatureSpec[] = [{ scheme: 'hex' }];

function whsec(bytes: number): string {
  return `whsec_${Buffer.alloc(bytes, 0xfb).toString('base64')}`;
}

test('a generated secret is whsec_ and 32 bytes, and fits every scheme', () => {
  const secret = generateSecret((n) => new Uint8Array(n).fill(0xff));
  expect(secret).toBe('whsec_//////////////////////////////////////////8=');
  expect(secretProblem(generateSecret(randomBytes), STANDARD)).toBeNull();
});

describe("a merchant's own", () => {
  test.each([
    ['your_webhook_secret'],
    ['x'.repeat(16)],
    ['x'.repeat(256)],
    ['💸'.repeat(256)],
    ['pass phrase with blanks'],
    ['Ama Ɔkɔtɔ is well-formed'],
  ])('%s is accepted', (secret) => {
    expect(secretProblem(secret, STANDARD)).toBeNull();
  });

  test.each([
    ['x'.repeat(15), 'must have 16 to 256 characters'],
    ['x'.repeat(257), 'must have 16 to 256 characters'],
    ['💸'.repeat(15), 'must have 16 to 256 characters'],
    ['', 'must have 16 to 256 characters'],
    [`${'x'.repeat(16)}\ud800`, 'must be well-formed Unicode'],
    [`${'x'.repeat(16)}\n`, 'must not contain control characters or line separators'],
    [`${'x'.repeat(16)}\u0000`, 'must not contain control characters or line separators'],
    [`${'x'.repeat(16)}\u2028`, 'must not contain control characters or line separators'],
  ])('%j: %s', (secret, problem) => {
    expect(secretProblem(secret, HEX)).toBe(problem);
  });
});

describe('whsec_', () => {
  test.each([16, 17, 18, 32, 64])('%d bytes are accepted', (bytes) => {
    expect(secretProblem(whsec(bytes), STANDARD)).toBeNull();
  });

  test.each([
    ['15 bytes', whsec(15)],
    ['65 bytes', whsec(65)],
    ['no base64', 'whsec_test_secret'],
    ['the URL alphabet', whsec(32).replaceAll('+', '-').replaceAll('/', '_')],
    ['no padding', whsec(32).replace(/=+$/, '')],
    ['bits after the last byte', `whsec_${'A'.repeat(42)}B=`],
    ['white space', `${whsec(18)} `],
  ])('%s: refused where standard-webhooks signs, free text elsewhere', (_what, secret) => {
    expect(secretProblem(secret, STANDARD)).toBe('must be whsec_ followed by the base64 of 16 to 64 bytes');
    expect(secretProblem(secret, HEX)).toBeNull();
  });
});
