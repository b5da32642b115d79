import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { verifySignature } from './verify-signature.js';

/** Values made by independent libraries. */
interface Vector {
  readonly scheme: string;
  readonly case: string;
  readonly secret: string;
  readonly id?: string;
  readonly timestamp?: number;
  readonly body: string;
  readonly header: string;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../test/golden/signatures.json', import.meta.url), 'utf8'),
) as readonly Vector[];

function requestOf({ scheme, id, timestamp, body, header }: Vector) {
  const headers =
    scheme === 'standard-webhooks'
      ? { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': header }
      : { 'x-posthorn-signature': header };
  return { headers, body: Buffer.from(body), headerPrefix: 'x-posthorn' };
}

function verifyVector(vector: Vector, changes: { secret?: string; body?: string; nowSeconds?: number } = {}) {
  const { secret = vector.secret, body = vector.body, nowSeconds = vector.timestamp ?? 0 } = changes;
  const request = requestOf({ ...vector, body });
  return verifySignature({ scheme: vector.scheme }, secret, request, nowSeconds * 1000);
}

describe.each(vectors)('$scheme, $case', (vector) => {
  test('fits', () => {
    expect(verifyVector(vector)).toBe(true);
  });

  test('does not fit another secret, another body, or no header', () => {
    expect(verifyVector(vector, { secret: 'whsec_QW5vdGhlciBzZWNyZXQh' })).toBe(false);
    expect(verifyVector(vector, { body: `${vector.body} ` })).toBe(false);
    const request = { ...requestOf(vector), headers: {} };
    expect(verifySignature({ scheme: vector.scheme }, vector.secret, request, 0)).toBe(false);
  });
});

test.each(vectors.filter(({ timestamp }) => timestamp !== undefined))(
  '$scheme, $case: not from more than five minutes away',
  (vector) => {
    const at = vector.timestamp ?? 0;
    expect(verifyVector(vector, { nowSeconds: at + 300 })).toBe(true);
    expect(verifyVector(vector, { nowSeconds: at + 301 })).toBe(false);
    expect(verifyVector(vector, { nowSeconds: at - 301 })).toBe(false);
  },
);

test('hex is the bare value of sha256-hex, in a header of its own', () => {
  const vector = vectors.find(({ scheme }) => scheme === 'sha256-hex');
  if (vector === undefined) throw new Error('no vector');
  const value = vector.header.replace('sha256=', '');
  const request = { ...requestOf(vector), headers: { 'x-signature': value, 'x-own': value } };
  expect(verifySignature({ scheme: 'hex' }, vector.secret, request, 0)).toBe(true);
  expect(verifySignature({ scheme: 'hex', header: 'X-Own' }, vector.secret, request, 0)).toBe(true);
  expect(verifySignature({ scheme: 'hex', header: 'X-Other' }, vector.secret, request, 0)).toBe(false);
});

test('a scheme that is not known is not verified', () => {
  expect(
    verifySignature({ scheme: 'rot13' }, 's', { headers: {}, body: Buffer.alloc(0), headerPrefix: '' }, 0),
  ).toBe(false);
});
