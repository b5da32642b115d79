import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import {
  JITTER_FRACTION,
  nextWaitMs,
  parseRetryAfter,
  RETRY_AFTER_MS_MAX,
  RETRY_PRESETS,
} from './retry-schedule.js';

const NO_JITTER = (): number => 0.5;
const HOUR_MS = 3_600_000;

/** One line a failure: what was waited, and how long after the first attempt the next one is. */
function table(scheduleSeconds: readonly number[]): string[] {
  let totalSeconds = 0;
  return Array.from({ length: scheduleSeconds.length + 1 }, (_, index) => {
    const waitMs = nextWaitMs({ scheduleSeconds, failures: index + 1, random: NO_JITTER });
    if (waitMs === null) return `failure ${index + 1}: spent`;
    totalSeconds += waitMs / 1_000;
    return `failure ${index + 1}: wait ${waitMs / 1_000} s, next at ${totalSeconds} s`;
  });
}

describe('the schedules', () => {
  test('standard', () => {
    expect(table(RETRY_PRESETS.standard)).toEqual([
      'failure 1: wait 1 s, next at 1 s',
      'failure 2: wait 4 s, next at 5 s',
      'failure 3: wait 16 s, next at 21 s',
      'failure 4: spent',
    ]);
  });

  test('extended', () => {
    expect(table(RETRY_PRESETS.extended)).toEqual([
      'failure 1: wait 5 s, next at 5 s',
      'failure 2: wait 300 s, next at 305 s',
      'failure 3: wait 1800 s, next at 2105 s',
      'failure 4: wait 7200 s, next at 9305 s',
      'failure 5: wait 18000 s, next at 27305 s',
      'failure 6: wait 36000 s, next at 63305 s',
      'failure 7: wait 36000 s, next at 99305 s',
      'failure 8: wait 86400 s, next at 185705 s',
      'failure 9: wait 86400 s, next at 272105 s',
      'failure 10: spent',
    ]);
  });

  test('none: one attempt only', () => {
    expect(table([])).toEqual(['failure 1: spent']);
  });
});

describe('jitter', () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const schedule = fc.array(fc.integer({ min: 0, max: 604_800 }), { minLength: 1, maxLength: 20 });

  test('stays within a tenth of the wait', () => {
    fc.assert(
      fc.property(schedule, random, (scheduleSeconds, value) => {
        scheduleSeconds.forEach((seconds, index) => {
          const waitMs = nextWaitMs({ scheduleSeconds, failures: index + 1, random: () => value });
          expect(Number.isInteger(waitMs)).toBe(true);
          expect(Math.abs((waitMs ?? Infinity) - seconds * 1_000)).toBeLessThanOrEqual(
            seconds * 1_000 * JITTER_FRACTION,
          );
        });
      }),
    );
  });

  test('uses the whole of that tenth, on both sides', () => {
    const waits = [0, 0.999999].map((value) =>
      nextWaitMs({ scheduleSeconds: [16], failures: 1, random: () => value }),
    );
    expect(waits).toEqual([14_400, 17_600]);
  });
});

describe('Retry-After', () => {
  const wait = (retryAfterMs: number | null, scheduleSeconds = [4]): number | null =>
    nextWaitMs({ scheduleSeconds, failures: 1, random: NO_JITTER, retryAfterMs });

  test('lengthens a wait, never shortens it, and is capped at an hour', () => {
    expect(wait(null)).toBe(4_000);
    expect(wait(0)).toBe(4_000);
    expect(wait(9_000)).toBe(9_000);
    expect(wait(2 * HOUR_MS)).toBe(RETRY_AFTER_MS_MAX);
    expect(wait(2 * HOUR_MS, [86_400])).toBe(24 * HOUR_MS);
  });

  test('adds no step to a spent schedule', () => {
    expect(wait(9_000, [])).toBeNull();
  });

  const NOW = Date.UTC(1994, 10, 6, 8, 49, 7);

  test.each([
    ['120', 120_000],
    [' 120 ', 120_000],
    ['0', 0],
    ['999999999999999', 999_999_999_999_999_000],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun Nov  6 08:49:37 1994', 30_000],
    ['Sun, 06 Nov 1994 08:00:00 GMT', 0],
  ])('%j asks for %d ms', (value, expected) => {
    expect(parseRetryAfter(value, NOW)).toBe(expected);
  });

  test.each(['', '-1', '1.5', '1e3', '+5', '5 s', 'soon', '12, 13', '9'.repeat(400), '0x10'])(
    '%j asks for nothing',
    (value) => {
      expect(parseRetryAfter(value, NOW)).toBeNull();
    },
  );
});

test.each([0, -1, 1.5, Number.NaN])('%d failures are a mistake', (failures) => {
  expect(() => nextWaitMs({ scheduleSeconds: [1], failures, random: NO_JITTER })).toThrow(RangeError);
});
