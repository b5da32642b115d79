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

test('a chunk after a quick answer is larger, and never more than a cold disk leaves time for', async () => {
  // Of rows that a disk takes 80 µs for: what is left of the 18 ms, and 7 that may go over them.
  await expect(chunkSizes(2)).resolves.toEqual([200, 288, 263, 238, 213, 188, 163, 138, 113]);
});

test('a chunk after a slow answer is no larger', async () => {
  await expect(chunkSizes(7)).resolves.toEqual([200, 200, 138]);
});

test('an answer that takes the whole budget is the last', async () => {
  await expect(chunkSizes(18)).resolves.toEqual([200]);
});
