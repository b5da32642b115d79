// Doubled: the clock, and PostgreSQL by one whose rows never fit and never end, and that takes as long as it is told to.
import { afterEach, expect, jest, test } from '@jest/globals';
import { type ChunkRow, SEARCH_LIMITS, walkAll } from './delivery-log-walk.js';
import { Prisma } from './generated/client.js';

const PAGE = { beforeId: null, rowsMax: 50 };

afterEach(() => {
  jest.restoreAllMocks();
});

/** How many rows each statement of a search may look at, when each answers after so long. */
async function chunkSizes(answerMs: number): Promise<number[]> {
  const sizes: number[] = [];
  let nowMs = 1_000;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const walk = {
    chunk: (_page: unknown, rowsWalkedMax: number) => {
      sizes.push(rowsWalkedMax);
      return Prisma.sql`SELECT`;
    },
  };
  const read = (): Promise<ChunkRow<{ id: string }>[]> => {
    nowMs += answerMs;
    return Promise.resolve([{ id: `row-${sizes.length}`, fits: false, isChunkEnd: true }]);
  };
  const found = await walkAll([walk], PAGE, SEARCH_LIMITS, read);
  expect(found).toEqual({ rows: [], searchedToId: `row-${sizes.length}` });
  return sizes;
}

test('a chunk is twice the last one while answers are quick, and never more than a cold disk leaves time for', async () => {
  // Of rows that a disk takes 80 µs for: what is left of the 25 ms, and 10 that may go over them.
  await expect(chunkSizes(2)).resolves.toEqual([
    200, 400, 388, 363, 338, 313, 288, 263, 238, 213, 188, 163, 138,
  ]);
});

test('a chunk after a slow answer is no larger', async () => {
  await expect(chunkSizes(9)).resolves.toEqual([200, 200, 200]);
});

test('an answer that takes the whole budget is the last', async () => {
  await expect(chunkSizes(25)).resolves.toEqual([200]);
});
