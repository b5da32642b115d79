import { expect, test } from '@jest/globals';
import { DatabaseClock } from './database-clock.js';

const HOUR_MS = 3_600_000;

test('a machine whose clock is an hour off tells the database time within half a round trip', () => {
  let localMs = 1_000_000_000;
  const clock = new DatabaseClock(() => localMs);
  clock.learn(localMs + HOUR_MS + 2, localMs, localMs + 4);
  expect(Math.abs(clock.nowMs() - (localMs + HOUR_MS))).toBeLessThanOrEqual(2);
  localMs += 5_000;
  expect(Math.abs(clock.nowMs() - (localMs + HOUR_MS))).toBeLessThanOrEqual(2);
});

test('a wide window does not spoil what a narrow one has taught', () => {
  const clock = new DatabaseClock(() => 0);
  clock.learn(100, 0, 0);
  clock.learn(150, 0, 120);
  expect(clock.nowMs()).toBe(100);
});

test('a clock that was stepped is followed at once, however wide the window', () => {
  const clock = new DatabaseClock(() => 0);
  clock.learn(100, 0, 0);
  clock.learn(50_000, 0, 200);
  expect(clock.nowMs()).toBeGreaterThan(49_000);
});
