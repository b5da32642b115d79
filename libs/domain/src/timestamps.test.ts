import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { formatSeconds, parseHttpDate, parseRfc3339 } from './timestamps.js';

const instant = fc.integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(9999, 11, 30) });

describe('RFC 3339', () => {
  test.each([
    ['2026-04-02T05:01:20Z', '2026-04-02T05:01:20.000Z'],
    ['2026-04-02t05:01:20z', '2026-04-02T05:01:20.000Z'],
    ['2026-04-02T05:01:20.1Z', '2026-04-02T05:01:20.100Z'],
    ['2026-04-02T05:01:20.123999999999Z', '2026-04-02T05:01:20.123Z'],
    ['2026-04-02T05:01:20+05:30', '2026-04-01T23:31:20.000Z'],
    ['2026-04-02T05:01:20-00:00', '2026-04-02T05:01:20.000Z'],
    ['1996-12-19T16:39:57-08:00', '1996-12-20T00:39:57.000Z'],
    ['1937-01-01T12:00:27.87+00:20', '1937-01-01T11:40:27.870Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    // Leap seconds: RFC 3339, 5.8.
    ['1990-12-31T23:59:60Z', '1991-01-01T00:00:00.000Z'],
    ['1990-12-31T15:59:60.5-08:00', '1991-01-01T00:00:00.000Z'],
  ])('%s', (text, iso) => {
    expect(parseRfc3339(text)).toBe(Date.parse(iso));
  });

  test.each([
    '2026-04-02',
    '2026-04-02T05:01:20',
    '2026-04-02 05:01:20Z',
    '2026-04-02T05:01Z',
    '2026-4-2T05:01:20Z',
    '2026-02-29T05:01:20Z',
    '2026-13-01T05:01:20Z',
    '2026-00-01T05:01:20Z',
    '2026-01-00T05:01:20Z',
    '2026-04-31T05:01:20Z',
    '2026-04-02T24:00:00Z',
    '2026-04-02T05:60:20Z',
    '2026-04-02T05:01:61Z',
    '2026-04-02T05:01:60Z',
    '2026-04-02T23:59:60Z',
    '2026-04-02T05:01:20.Z',
    '2026-04-02T05:01:20,5Z',
    '2026-04-02T05:01:20+24:00',
    '2026-04-02T05:01:20+05:60',
    '2026-04-02T05:01:20+0530',
    '2026-04-02T05:01:20Z\n',
    ' 2026-04-02T05:01:20Z',
    '+002026-04-02T05:01:20Z',
    '٢٠٢٦-04-02T05:01:20Z',
    `2026-04-02T05:01:20.${'0'.repeat(64)}Z`,
    '1775106080',
    '',
  ])('%j is refused', (text) => {
    expect(parseRfc3339(text)).toBeNull();
  });

  test('reads back what is printed', () => {
    fc.assert(
      fc.property(instant, (ms) => {
        expect(parseRfc3339(new Date(ms).toISOString())).toBe(ms);
        expect(parseRfc3339(formatSeconds(ms))).toBe(ms - (ms % 1_000));
      }),
    );
  });
});

test('formatSeconds drops milliseconds and rounds down', () => {
  expect(formatSeconds(Date.UTC(2026, 3, 2, 5, 1, 20, 999))).toBe('2026-04-02T05:01:20Z');
});

describe('HTTP dates', () => {
  const NOW = Date.UTC(2026, 10, 22);
  const expected = Date.UTC(1994, 10, 6, 8, 49, 37);

  // The examples of RFC 9110, 5.6.7.
  test.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
    '%s',
    (text) => {
      expect(parseHttpDate(text, NOW)).toBe(expected);
    },
  );

  test.each([
    ['30', 2030],
    ['76', 2076],
    ['77', 1977],
    ['99', 1999],
  ])('the year %s is %d', (year, full) => {
    expect(parseHttpDate(`Friday, 01-Jan-${year} 00:00:00 GMT`, NOW)).toBe(Date.UTC(full, 0, 1));
  });

  test.each([
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 31 Nov 1994 08:49:37 GMT',
    'Sun, 06 Foo 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:49:37 GMT',
    'Sonntag, 06-Nov-94 08:49:37 GMT',
    '1994-11-06T08:49:37Z',
    '',
  ])('%j is refused', (text) => {
    expect(parseHttpDate(text, NOW)).toBeNull();
  });

  test('reads back what toUTCString prints', () => {
    fc.assert(
      fc.property(instant, (ms) => {
        expect(parseHttpDate(new Date(ms).toUTCString(), NOW)).toBe(ms - (ms % 1_000));
      }),
    );
  });
});
