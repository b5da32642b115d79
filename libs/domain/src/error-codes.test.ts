import { expect, test } from '@jest/globals';

import { API_ERRORS, ATTEMPT_ERRORS, DELIVERY_ERRORS, foreignErrorCode } from './error-codes.js';

test('the API codes by status', () => {
  const byStatus = Map.groupBy(Object.entries(API_ERRORS), ([, { status }]) => status);
  const rows = [...byStatus].map(
    ([status, entries]) => `${status} ${entries.map(([code]) => code).join(' ')}`,
  );
  expect(rows).toEqual([
    '400 malformed_json',
    '401 unauthenticated',
    '403 forbidden',
    '404 not_found',
    '405 method_not_allowed',
    '409 conflict idempotency_conflict payload_redacted',
    '413 payload_too_large',
    '415 unsupported_media_type',
    '422 invalid_request url_not_allowed schema_mismatch',
    '429 rate_limited',
    '500 internal_error',
    '503 unavailable',
  ]);
});

test('every code says what it means in a sentence', () => {
  const meanings = [
    ...Object.values(API_ERRORS).map(({ meaning }) => meaning),
    ...Object.values(DELIVERY_ERRORS),
    ...Object.values(ATTEMPT_ERRORS),
  ];
  for (const meaning of meanings) expect(meaning).toMatch(/^[A-Z].{20,}\.$/);
});

test.each([
  ['ECONNREFUSED', 'econnrefused'],
  ['UND_ERR_SOCKET', 'und_err_socket'],
  ['CERT_HAS_EXPIRED', 'cert_has_expired'],
  ['some message with blanks', 'unclassified'],
  ['', 'unclassified'],
  ['X'.repeat(65), 'unclassified'],
  [undefined, 'unclassified'],
  [7, 'unclassified'],
])('%p becomes %s', (code, expected) => {
  expect(foreignErrorCode(code)).toBe(expected);
});
