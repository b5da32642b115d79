import { expect, test } from '@jest/globals';

import { healthState } from './endpoint-health.js';

const EARLIER = new Date(1_000);
const LATER = new Date(2_000);

test.each([
  ['idle', 0, null, null],
  ['healthy', 0, EARLIER, null],
  ['healthy', 0, LATER, EARLIER],
  ['failing', 3, null, LATER],
  ['failing', 1, EARLIER, LATER],
] as const)(
  '%s after %d failures, success %p, failure %p',
  (state, consecutiveFailures, lastSuccessAt, lastFailureAt) => {
    expect(healthState({ consecutiveFailures, lastSuccessAt, lastFailureAt })).toBe(state);
  },
);
