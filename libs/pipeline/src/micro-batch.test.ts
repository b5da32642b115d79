import { describe, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { MicroBatch } from './micro-batch.js';

/** A run that is over when the test says so. */
function controlled() {
  const runs: { items: readonly number[]; finish: () => void }[] = [];
  const run = (items: readonly number[]): Promise<number[]> =>
    new Promise((resolve) => {
      runs.push({ items, finish: () => resolve(items.map((item) => item * 10)) });
    });
  return { runs, run };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('what comes in one turn of the event loop is one batch, and each gets its own result', async () => {
  const { runs, run } = controlled();
  const batches = new MicroBatch({ run, itemsMax: 10, runsMax: 1 });
  const results = Promise.all([batches.add(1), batches.add(2), batches.add(3)]);
  await turn();
  expect(runs.map(({ items }) => items)).toEqual([[1, 2, 3]]);
  runs[0]?.finish();
  expect(await results).toEqual([10, 20, 30]);
});

test('what comes during a run waits and is taken together by the next', async () => {
  const { runs, run } = controlled();
  const batches = new MicroBatch({ run, itemsMax: 10, runsMax: 1 });
  const first = batches.add(1);
  await turn();
  const rest = Promise.all([batches.add(2), batches.add(3)]);
  await turn();
  expect(runs).toHaveLength(1);
  runs[0]?.finish();
  await first;
  await turn();
  expect(runs[1]?.items).toEqual([2, 3]);
  runs[1]?.finish();
  expect(await rest).toEqual([20, 30]);
});

test('batches are bounded by items and by weight, and one that is too heavy still goes, alone', async () => {
  const { runs, run } = controlled();
  const batches = new MicroBatch({ run, itemsMax: 3, runsMax: 10, weigh: (item) => item, weightMax: 5 });
  const all = Promise.all([2, 2, 2, 9, 1, 1, 1, 1].map((item) => batches.add(item)));
  await turn();
  expect(runs.map(({ items }) => items)).toEqual([[2, 2], [2], [9], [1, 1, 1], [1]]);
  for (const { finish } of runs) finish();
  await all;
});

test('a batch that fails on one item is halved until that one fails alone', async () => {
  const tried: number[][] = [];
  const batches = new MicroBatch<number, number>({
    run: (items) => {
      tried.push([...items]);
      return items.includes(3) ? Promise.reject(new Error('bad row')) : Promise.resolve([...items]);
    },
    itemsMax: 10,
    runsMax: 1,
    isItemsFault: () => true,
  });
  const results = await Promise.allSettled([1, 2, 3, 4].map((item) => batches.add(item)));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  expect(tried).toEqual([[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]);
});

test('any other error fails the whole batch, and the next one starts afresh', async () => {
  let calls = 0;
  const batches = new MicroBatch<number, number>({
    run: (items) => (++calls === 1 ? Promise.reject(new Error('away')) : Promise.resolve([...items])),
    itemsMax: 10,
    runsMax: 1,
    isItemsFault: () => false,
  });
  const failed = await Promise.allSettled([batches.add(1), batches.add(2)]);
  expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(batches.add(3)).resolves.toBe(3);
});

test('a run that answers for another number of items is a fault of its own', async () => {
  const batches = new MicroBatch<number, number>({
    run: () => Promise.resolve([]),
    itemsMax: 10,
    runsMax: 1,
  });
  await expect(batches.add(1)).rejects.toThrow('a batch of 1 items gave 0 results');
});

test('drained waits for what waits and for what runs', async () => {
  const { runs, run } = controlled();
  const batches = new MicroBatch({ run, itemsMax: 1, runsMax: 1 });
  await batches.drained();
  void batches.add(1);
  void batches.add(2);
  let isDrained = false;
  const drained = batches.drained().then(() => (isDrained = true));
  await turn();
  runs[0]?.finish();
  await turn();
  await turn();
  expect(isDrained).toBe(false);
  runs[1]?.finish();
  await drained;
  expect(isDrained).toBe(true);
});

describe('gatherMs', () => {
  const GATHER_MS = 60;

  test('keeps nothing that comes alone, however often', async () => {
    const { runs, run } = controlled();
    const batches = new MicroBatch({ run, itemsMax: 10, runsMax: 1, gatherMs: GATHER_MS });
    for (let item = 1; item <= 3; item++) {
      const result = batches.add(item);
      await turn();
      expect(runs).toHaveLength(item);
      runs.at(-1)?.finish();
      await result;
    }
  });

  test('lets what comes after a batch of several wait for more, until its time has come', async () => {
    const { runs, run } = controlled();
    const batches = new MicroBatch({ run, itemsMax: 10, runsMax: 1, gatherMs: GATHER_MS });
    const startedMs = performance.now();
    const first = Promise.all([batches.add(1), batches.add(2)]);
    await turn();
    runs[0]?.finish();
    await first;
    const second = Promise.all([batches.add(3)]);
    await turn();
    const third = Promise.all([batches.add(4)]);
    await turn();
    expect(runs).toHaveLength(1);
    await eventually(() => expect(runs).toHaveLength(2));
    // A timer of Node's may be a millisecond early.
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(GATHER_MS - 2);
    expect(runs[1]?.items).toEqual([3, 4]);
    runs[1]?.finish();
    expect(await second).toEqual([30]);
    expect(await third).toEqual([40]);
  });

  test('does not keep a full batch', async () => {
    const { runs, run } = controlled();
    const batches = new MicroBatch({ run, itemsMax: 3, runsMax: 1, gatherMs: 60_000 });
    const first = Promise.all([batches.add(1), batches.add(2)]);
    await turn();
    runs[0]?.finish();
    await first;
    const second = Promise.all([batches.add(3), batches.add(4), batches.add(5)]);
    await turn();
    expect(runs[1]?.items).toEqual([3, 4, 5]);
    runs[1]?.finish();
    await second;
  });

  test('is waited for when everything is to be drained', async () => {
    const { runs, run } = controlled();
    const batches = new MicroBatch({ run, itemsMax: 10, runsMax: 1, gatherMs: GATHER_MS });
    const first = Promise.all([batches.add(1), batches.add(2)]);
    await turn();
    runs[0]?.finish();
    await first;
    const rest = batches.add(3);
    const drained = batches.drained();
    await eventually(() => expect(runs).toHaveLength(2));
    runs[1]?.finish();
    await drained;
    expect(await rest).toBe(30);
  });
});
