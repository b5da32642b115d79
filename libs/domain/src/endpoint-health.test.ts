import { describe, expect, test } from '@jest/globals';
import { BREAKER } from './breaker.js';
import { HEALTH_STATES, type HealthEvidence, healthState, NO_EVIDENCE } from './endpoint-health.js';

const EARLIER = new Date(1_000);
const LATER = new Date(2_000);
const NOW_MS = 3_000;

test.each([
  ['idle', 0, null, null],
  ['healthy', 0, EARLIER, null],
  ['healthy', 0, LATER, EARLIER],
  ['failing', 3, null, LATER],
  ['failing', 1, EARLIER, LATER],
] as const)(
  '%s after %d failures, success %p, failure %p',
  (state, consecutiveFailures, lastSuccessAt, lastFailureAt) => {
    const evidence = { ...NO_EVIDENCE, consecutiveFailures, lastSuccessAt, lastFailureAt };
    expect(healthState(evidence, NOW_MS)).toBe(state);
  },
);

describe('precedence', () => {
  /** Each makes its state true, whatever else is. */
  const MAKES: Readonly<Record<(typeof HEALTH_STATES)[number], Partial<HealthEvidence>>> = {
    suspended: { breakerState: 'open', breakerChangedAt: LATER },
    recovering: { breakerState: 'draining', breakerChangedAt: LATER },
    failing: { consecutiveFailures: 1, lastFailureAt: LATER },
    slow: { lane: 'slow' },
    healthy: { lastSuccessAt: EARLIER },
    idle: {},
  };
  const pairs = HEALTH_STATES.flatMap((first, index) =>
    HEALTH_STATES.slice(index + 1).map((second) => [first, second] as const),
  );

  test.each(pairs)('%s is said before %s', (first, second) => {
    expect(healthState({ ...NO_EVIDENCE, ...MAKES[second], ...MAKES[first] }, NOW_MS)).toBe(first);
  });
});

test('recovering ends with the drain, also when no attempt has ended since to write it down', () => {
  const drained = {
    ...NO_EVIDENCE,
    lastSuccessAt: EARLIER,
    breakerState: 'draining',
    breakerChangedAt: EARLIER,
  } as const;
  const endMs = EARLIER.getTime() + BREAKER.drainSeconds * 1_000;
  expect(healthState(drained, endMs - 1)).toBe('recovering');
  expect(healthState(drained, endMs)).toBe('healthy');
});
