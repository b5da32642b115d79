import { expect, test } from '@jest/globals';
import { HintBudget } from './hint-budget.js';

function rig(waiting: () => Promise<number>) {
  let nowMs = 0;
  const budget = new HintBudget({ waiting }, 'fast', () => nowMs);
  return {
    budget,
    later: async (ms: number) => {
      nowMs += ms;
      await budget.available();
    },
    take: (count: number, endpointId = 'e', merchantId = endpointId) =>
      Array.from({ length: count }, () => budget.take(endpointId, merchantId)).filter(Boolean).length,
  };
}

test('one endpoint gets a quarter of the bound at a time, and its share again after a second', async () => {
  const { budget, later, take } = rig(() => Promise.resolve(0));
  expect(take(10_000)).toBe(budget.perEndpointMax);
  expect(take(1, 'another')).toBe(1);
  await later(1_100);
  expect(take(10_000)).toBe(budget.perEndpointMax);
});

test('a full queue gets nothing more until it has drained', async () => {
  let waiting = 1_000_000;
  const { budget, later, take } = rig(() => Promise.resolve(waiting));
  await later(300);
  expect(take(5)).toBe(0);
  expect(await budget.available()).toBe(0);
  waiting = 0;
  await later(300);
  expect(take(5)).toBe(5);
});

test('the bound follows the drain, between 500 and 5,000', async () => {
  let waiting = 0;
  const { budget, later, take } = rig(() => Promise.resolve(waiting));
  for (let round = 0; round < 40; round++) {
    for (let endpoint = 0; endpoint < 8; endpoint++) take(10_000, `${round}-${endpoint}`);
    await later(1_100);
  }
  expect(budget.perEndpointMax).toBe(1_250);
  waiting = 4_000;
  for (let round = 0; round < 60; round++) await later(300);
  expect(budget.perEndpointMax).toBe(125);
});

test('a queue that fails is left alone for a second', async () => {
  let isAway = true;
  const { budget, later, take } = rig(() =>
    isAway ? Promise.reject(new Error('away')) : Promise.resolve(0),
  );
  await later(300);
  expect(take(5)).toBe(0);
  isAway = false;
  await later(500);
  expect(take(5)).toBe(0);
  await later(1_000);
  expect(take(5)).toBe(5);
  budget.isAway();
  expect(take(5)).toBe(0);
});

test('one merchant gets half of the bound at a time, however many endpoints it has', () => {
  const { budget, take } = rig(() => Promise.resolve(0));
  let taken = 0;
  for (let endpoint = 0; endpoint < 100; endpoint++) taken += take(50, `e${endpoint}`, 'greedy');
  expect(taken).toBe(budget.perEndpointMax * 2);
  expect(take(10, 'e', 'other')).toBe(10);
});
