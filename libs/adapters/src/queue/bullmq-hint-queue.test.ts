// Doubled: nothing. BullMQ on a database and on a Redis of the test's own.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Hint } from '#pipeline/hint-queue.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase } from '#testkit/postgres.js';
import { hasRedis, spawnRedis } from '#testkit/redis.js';
import { BullMqHintQueue, type HintJob } from './bullmq-hint-queue.js';
import { connectQueues, openQueue, type QueueConnection } from './queue-connection.js';

const BACKENDS = {
  postgres: async () => {
    const database = await createTestDatabase();
    return { databaseUrl: database.databaseUrl, redisUrl: null, stop: () => database.drop() };
  },
  redis: async () => {
    const redis = await spawnRedis();
    return { databaseUrl: '', redisUrl: redis.url, stop: () => redis.stop() };
  },
};

/** That of REDIS_URL is shared with other files, whose jobs are not to be taken here. */
const hasOwnRedis = hasRedis() && (process.env['REDIS_URL'] ?? '') === '';
if (!hasOwnRedis)
  test.skip('hints on Redis: there is no redis-server to be had for this file alone', () => undefined);

let backend: Awaited<ReturnType<(typeof BACKENDS)[keyof typeof BACKENDS]>>;
let connection: QueueConnection;
let hintQueue: BullMqHintQueue;

function hintsOf(kind: string, count: number, delayMs = 0): Hint[] {
  return Array.from({ length: count }, (_, index) => ({
    lane: 'fast',
    deliveryIds: [`${kind}-${index}-a`, `${kind}-${index}-b`],
    hintNumber: 1,
    delayMs,
  }));
}

/** Takes what waits or is delayed out of the fast lane, in the order of its first ids. */
async function takeAll(): Promise<{ ids: readonly string[]; delayMs: number }[]> {
  const queue = openQueue<HintJob>(connection, 'fast');
  try {
    const jobs = await queue.getJobs(['waiting', 'prioritized', 'delayed']);
    const taken = jobs.map(({ data, opts }) => ({ ids: data.deliveryIds, delayMs: opts.delay ?? 0 }));
    await queue.obliterate({ force: true });
    return taken.toSorted((a, b) => String(a.ids[0]).localeCompare(String(b.ids[0])));
  } finally {
    await queue.close();
  }
}

describe.each(hasOwnRedis ? (['postgres', 'redis'] as const) : (['postgres'] as const))('on %s', (kind) => {
  beforeAll(async () => {
    backend = await BACKENDS[kind]();
    connection = connectQueues(backend);
    hintQueue = new BullMqHintQueue(connection);
    // The producer's connection fails at once what comes before it is made.
    await eventually(() => hintQueue.waiting('fast'));
  });

  afterAll(async () => {
    await hintQueue.close();
    await connection.close();
    await backend.stop();
  });

  test.each([
    { kind: 'one', count: 1 },
    { kind: 'as-many-as-go-singly', count: 8 },
    { kind: 'one-more-so-in-bulk', count: 9 },
  ])('every hint of a batch of $count is there', async ({ kind, count }) => {
    const hints = hintsOf(kind, count);
    await hintQueue.add(hints);
    await expect(takeAll()).resolves.toEqual(
      hints.map(({ deliveryIds }) => ({ ids: deliveryIds, delayMs: 0 })),
    );
  });

  test.each([1, 9])('the delay of %i hints is kept', async (count) => {
    await hintQueue.add(hintsOf('late', count, 60_000));
    const taken = await takeAll();
    expect(taken.map(({ delayMs }) => delayMs)).toEqual(Array.from({ length: count }, () => 60_000));
  });

  test.each([2, 20])('%i hints that are added twice are there once', async (count) => {
    const hints = hintsOf('twice', count);
    await hintQueue.add(hints);
    await hintQueue.add(hints);
    await expect(takeAll()).resolves.toHaveLength(count);
  });

  test('hints of several lanes each go to their own', async () => {
    const [fast, slow] = hintsOf('lanes', 2);
    if (fast === undefined || slow === undefined) throw new Error('two were made');
    await hintQueue.add([fast, { ...slow, lane: 'slow' }]);
    await expect(hintQueue.waiting('fast')).resolves.toBe(1);
    await expect(hintQueue.waiting('slow')).resolves.toBe(1);
    await expect(hintQueue.waiting('suspect')).resolves.toBe(0);
    await takeAll();
  });
});
