/* Doubled: the store of the buckets and the clock. The stores themselves: test/integration/request-buckets.test.ts. */
import { expect, test } from '@jest/globals';
import type { BucketAnswer } from '#pipeline/request-buckets.js';
import { RequestRate } from './request-rate.js';

function rateOn(take: (keyId: string) => Promise<BucketAnswer>) {
  const asked: string[] = [];
  const clock = { nowMs: 0 };
  const store = {
    take: (keyId: string) => {
      asked.push(keyId);
      return take(keyId);
    },
  };
  return { rate: new RequestRate(store, 100, () => clock.nowMs), asked, clock };
}

const allowed: BucketAnswer = { allowed: true, remaining: 7, retryMs: 0 };

test('what the store says', async () => {
  const { rate } = rateOn(() => Promise.resolve(allowed));
  expect(rate.burst).toBe(1_000);
  expect(await rate.admit('a')).toEqual({ kind: 'allowed', remaining: 7, retrySeconds: 0 });
});

test.each([
  [1, 1],
  [1_000, 1],
  [1_001, 2],
])('refused for %d ms is to come back in %d s', async (retryMs, retrySeconds) => {
  const { rate } = rateOn(() => Promise.resolve({ allowed: false, remaining: 0, retryMs }));
  expect(await rate.admit('a')).toEqual({ kind: 'refused', remaining: 0, retrySeconds });
});

test('a key that is over its rate does not reach the store until its bucket has something again', async () => {
  const { rate, asked, clock } = rateOn((keyId) =>
    Promise.resolve(keyId === 'a' ? { allowed: false, remaining: 0, retryMs: 10 } : allowed),
  );
  for (let n = 0; n < 50; n++) expect(await rate.admit('a')).toMatchObject({ kind: 'refused' });
  expect(asked).toEqual(['a']);
  expect(await rate.admit('b')).toMatchObject({ kind: 'allowed' });
  clock.nowMs = 10;
  await rate.admit('a');
  expect(asked).toEqual(['a', 'b', 'a']);
});

test('a store that is away refuses nobody, and one request a second asks whether it is back', async () => {
  let isAway = true;
  const cause = new Error('away');
  const { rate, asked, clock } = rateOn(() => (isAway ? Promise.reject(cause) : Promise.resolve(allowed)));
  expect(await rate.admit('a')).toEqual({ kind: 'unchecked', cause });
  for (let n = 0; n < 50; n++) expect(await rate.admit('a')).toEqual({ kind: 'unchecked', cause: null });
  expect(asked).toHaveLength(1);
  clock.nowMs = 1_000;
  const second = await Promise.all([rate.admit('a'), rate.admit('b'), rate.admit('c')]);
  expect(second.map(({ kind }) => kind)).toEqual(['unchecked', 'unchecked', 'unchecked']);
  expect(asked).toHaveLength(2);
  isAway = false;
  clock.nowMs = 2_000;
  expect(await rate.admit('a')).toMatchObject({ kind: 'allowed' });
  expect(await rate.admit('b')).toMatchObject({ kind: 'allowed' });
});

test('a store that never answers holds a request for a moment, and the next ones not at all', async () => {
  const { rate } = rateOn(() => new Promise<never>(() => undefined));
  const startedMs = performance.now();
  expect(await rate.admit('a')).toMatchObject({ kind: 'unchecked', cause: { name: 'StoreTimeout' } });
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  expect(await rate.admit('a')).toEqual({ kind: 'unchecked', cause: null });
});
