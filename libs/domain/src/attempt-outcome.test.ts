import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import {
  classifyResponse,
  decideNextStep,
  DELIVERY_STATUSES,
  isFinal,
  OUTCOMES,
  type Outcome,
  type SettledAttempt,
} from './attempt-outcome.js';

const FAILURES = OUTCOMES.filter((outcome) => outcome !== 'succeeded' && outcome !== 'unknown');

function settled(outcome: Outcome, given: Partial<SettledAttempt> = {}): SettledAttempt {
  return {
    outcome,
    statusCode: null,
    failuresAfter: 1,
    scheduleSeconds: [1, 4, 16],
    random: () => 0.5,
    single: false,
    ...given,
  };
}

test('final statuses', () => {
  expect(DELIVERY_STATUSES.filter(isFinal)).toEqual(['succeeded', 'failed', 'cancelled']);
});

describe('classifyResponse', () => {
  test.each([
    [200, 'succeeded'],
    [204, 'succeeded'],
    [299, 'succeeded'],
    [300, 'redirect'],
    [304, 'redirect'],
    [399, 'redirect'],
    [400, 'http_error'],
    [410, 'http_error'],
    [500, 'http_error'],
    [199, 'http_error'],
    [999, 'http_error'],
  ])('%d is %s', (statusCode, expected) => {
    expect(classifyResponse(statusCode)).toBe(expected);
  });

  test("an endpoint's own list replaces the default", () => {
    const own = { successStatuses: [202, 302] };
    expect([200, 202, 302, 301].map((code) => classifyResponse(code, own))).toEqual([
      'http_error',
      'succeeded',
      'succeeded',
      'redirect',
    ]);
    expect(classifyResponse(200, { successStatuses: undefined })).toBe('succeeded');
  });
});

describe('decideNextStep', () => {
  test('a success ends the delivery', () => {
    expect(decideNextStep(settled('succeeded', { statusCode: 200 }))).toEqual({ kind: 'succeeded' });
    expect(decideNextStep(settled('succeeded', { single: true, failuresAfter: 4 }))).toEqual({
      kind: 'succeeded',
    });
  });

  test.each(FAILURES)('%s goes through the schedule to exhausted', (outcome) => {
    const steps = [1, 2, 3, 4].map((failuresAfter) => decideNextStep(settled(outcome, { failuresAfter })));
    expect(steps).toEqual([
      { kind: 'retry', waitMs: 1_000 },
      { kind: 'retry', waitMs: 4_000 },
      { kind: 'retry', waitMs: 16_000 },
      { kind: 'failed', reason: 'exhausted' },
    ]);
  });

  test.each(FAILURES)('%s ends a manual retry of a final delivery', (outcome) => {
    expect(decideNextStep(settled(outcome, { single: true }))).toEqual({ kind: 'failed', reason: 'manual' });
  });

  test('410 is final at once, in a manual retry too', () => {
    for (const single of [true, false]) {
      const step = decideNextStep(settled('http_error', { statusCode: 410, retryAfterMs: 1_000, single }));
      expect(step).toEqual({ kind: 'failed', reason: 'gone' });
    }
  });

  test.each([
    [429, 30_000],
    [503, 30_000],
    [500, 1_000],
    [502, 1_000],
    [404, 1_000],
    [301, 1_000],
  ])('Retry-After with %d: %d ms', (statusCode, waitMs) => {
    const step = decideNextStep(settled('http_error', { statusCode, retryAfterMs: 30_000 }));
    expect(step).toEqual({ kind: 'retry', waitMs });
  });

  test('unknown spends nothing and ends nothing', () => {
    const step = decideNextStep(settled('unknown', { scheduleSeconds: [], single: true, failuresAfter: 0 }));
    expect(step).toEqual({ kind: 'retry', waitMs: 0 });
  });

  test('only a success is ever success, and every delivery ends within its schedule', () => {
    const attempt = fc.record({
      outcome: fc.constantFrom(...OUTCOMES),
      statusCode: fc.option(fc.integer({ min: 100, max: 599 })),
      failuresAfter: fc.integer({ min: 1, max: 25 }),
      scheduleSeconds: fc.array(fc.integer({ min: 0, max: 604_800 }), { maxLength: 20 }),
      retryAfterMs: fc.option(fc.integer({ min: 0, max: 10 ** 9 })),
      random: fc.constant(() => 0.5),
      single: fc.boolean(),
    });
    fc.assert(
      fc.property(attempt, (given) => {
        const step = decideNextStep(given);
        expect(step.kind === 'succeeded').toBe(given.outcome === 'succeeded');
        const isSpent = given.failuresAfter > given.scheduleSeconds.length;
        const isFailure = given.outcome !== 'succeeded' && given.outcome !== 'unknown';
        if (isFailure && isSpent) expect(step.kind).toBe('failed');
        if (step.kind === 'retry') expect(step.waitMs).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
