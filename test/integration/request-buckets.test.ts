/*
 * The conformance suite of RequestBuckets, on both stores. Real: PostgreSQL, Redis, their clocks. Time goes by, so what may
 * be let through is bounded by the time that a test took, and never by a sleep.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { forgetFullBuckets, PostgresRequestBuckets } from '#adapters/postgres/request-buckets.js';
import { RedisRequestBuckets } from '#adapters/redis/request-buckets.js';
import type { BucketAnswer, RequestBuckets } from '#pipeline/request-buckets.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { hasRedis, startRedis, type TestRedis } from '#testkit/redis.js';

interface Store {
  open(): Promise<void>;
  /** What another process would have: it shares nothing but the store. */
  connect(perSecond: number): Promise<RequestBuckets>;
  close(): Promise<void>;
}

class OnPostgres implements Store {
  db!: TestDatabase;
  readonly databases: Database[] = [];

  async open(): Promise<void> {
    this.db = await createTestDatabase();
  }

  connect(perSecond: number): Promise<RequestBuckets> {
    const database = connectDatabase(this.db.databaseUrl, 2);
    this.databases.push(database);
    return Promise.resolve(new PostgresRequestBuckets(database, perSecond));
  }

  async close(): Promise<void> {
    await Promise.all(this.databases.map((database) => database.$disconnect()));
    await this.db.drop();
  }
}

class OnRedis implements Store {
  redis!: TestRedis;
  readonly opened: RedisRequestBuckets[] = [];

  async open(): Promise<void> {
    this.redis = (await startRedis()) as TestRedis;
  }

  async connect(perSecond: number): Promise<RequestBuckets> {
    const buckets = await RedisRequestBuckets.open(this.redis.url, perSecond);
    this.opened.push(buckets);
    return buckets;
  }

  async close(): Promise<void> {
    for (const buckets of this.opened) buckets.close();
    await this.redis.stop();
  }
}

const STORES: [string, () => Store][] = [['PostgreSQL', () => new OnPostgres()]];
if (hasRedis()) STORES.push(['Redis', () => new OnRedis()]);
if (!hasRedis()) test.skip('request buckets on Redis: there is no redis-server', () => undefined);

describe.each(STORES)('on %s', (_, makeStore) => {
  const store = makeStore();
  beforeAll(() => store.open(), 60_000);
  afterAll(() => store.close());

  /** @returns the answers, and the bound on what may have come back into the bucket meanwhile */
  async function take(
    perSecond: number,
    buckets: readonly RequestBuckets[],
    keyId: string,
    times: number,
  ): Promise<{ answers: BucketAnswer[]; refillMax: number; allowed: number }> {
    const startedMs = performance.now();
    const answers = await Promise.all(
      Array.from({ length: times }, (_, n) => (buckets[n % buckets.length] as RequestBuckets).take(keyId)),
    );
    const refillMax = Math.ceil(((performance.now() - startedMs) / 1_000) * perSecond);
    return { answers, refillMax, allowed: answers.filter((answer) => answer.allowed).length };
  }

  test('a full bucket holds ten seconds of the rate, over two processes, and no more', async () => {
    const processes = [await store.connect(100), await store.connect(100)];
    const { answers, allowed, refillMax } = await take(100, processes, randomUUID(), 1_500);
    expect(allowed).toBeGreaterThanOrEqual(1_000);
    expect(allowed).toBeLessThanOrEqual(1_000 + refillMax);
    for (const { retryMs } of answers.filter((answer) => !answer.allowed)) {
      expect(retryMs).toBeGreaterThan(0);
      expect(retryMs).toBeLessThanOrEqual(10);
    }
  });

  test('to the request, where next to nothing comes back meanwhile: ten of one a second', async () => {
    const one = await store.connect(1);
    const keyId = randomUUID();
    const { answers, allowed, refillMax } = await take(1, [one], keyId, 30);
    expect(refillMax).toBe(1);
    expect(allowed).toBeGreaterThanOrEqual(10);
    expect(allowed).toBeLessThanOrEqual(11);
    expect(answers.slice(0, 10).map(({ remaining }) => remaining)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    const refusal = answers.at(-1) as BucketAnswer;
    expect(refusal).toMatchObject({ allowed: false, remaining: 0 });
    expect(refusal.retryMs).toBeGreaterThan(0);
    expect(refusal.retryMs).toBeLessThanOrEqual(1_000);
  });

  test('what is told is true: nothing before retryMs, one after it', async () => {
    const buckets = await store.connect(20);
    const keyId = randomUUID();
    await take(20, [buckets], keyId, 200);
    let last = await buckets.take(keyId);
    while (last.allowed) last = await buckets.take(keyId);
    expect(last.retryMs).toBeLessThanOrEqual(50);
    const refusedMs = performance.now();
    await eventually(async () => expect((await buckets.take(keyId)).allowed).toBe(true), 2_000);
    expect(performance.now() - refusedMs).toBeGreaterThanOrEqual(last.retryMs - 10);
  });

  test('hammered by two processes for two seconds, the rate holds', async () => {
    const processes = [await store.connect(50), await store.connect(50)];
    const keyId = randomUUID();
    await take(50, processes, keyId, 600);
    const startedMs = performance.now();
    let allowed = 0;
    await Promise.all(
      processes.map(async (buckets) => {
        while (performance.now() - startedMs < 2_000) {
          if ((await buckets.take(keyId)).allowed) allowed++;
        }
      }),
    );
    const seconds = (performance.now() - startedMs) / 1_000;
    expect(allowed).toBeLessThanOrEqual(Math.ceil(seconds * 50) + 1);
    expect(allowed).toBeGreaterThanOrEqual(Math.floor(seconds * 50 * 0.9));
  });

  test('keys have nothing to do with each other', async () => {
    const buckets = await store.connect(1);
    const [spent, fresh] = [randomUUID(), randomUUID()];
    await take(1, [buckets], spent, 20);
    expect(await buckets.take(fresh)).toEqual({ allowed: true, remaining: 9, retryMs: 0 });
    const keys = Array.from({ length: 300 }, () => randomUUID());
    const answers = await Promise.all(keys.map((keyId) => buckets.take(keyId)));
    expect(new Set(answers.map(({ remaining }) => remaining))).toEqual(new Set([9]));
  });
});

test('a bucket in PostgreSQL is forgotten once it has long been full', async () => {
  const store = new OnPostgres();
  await store.open();
  const buckets = await store.connect(1);
  const [idle, busy] = [randomUUID(), randomUUID()];
  await Promise.all([buckets.take(idle), buckets.take(busy)]);
  const database = store.databases[0] as Database;
  await database.$executeRaw`
    UPDATE request_buckets SET counted_at_us = counted_at_us - 7200000000 WHERE api_key_id = ${idle}::uuid`;
  expect(await forgetFullBuckets(database)).toBe(1);
  expect(await buckets.take(busy)).toMatchObject({ remaining: 8 });
  await store.close();
});
