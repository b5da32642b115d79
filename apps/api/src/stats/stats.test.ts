/**
 * Statistics over a month of a busy endpoint, seeded by SQL, through the API.
 *
 * Observed: answers, the time that they take of this process and of PostgreSQL, and the plan of the statement. Printed and not
 * asserted: how long a caller waits, which on a machine with other tests on it says more about those.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { statsQuery } from '#adapters/postgres/delivery-stats.js';
import { Prisma } from '#adapters/postgres/generated/client.js';
import { packStats } from '#adapters/postgres/pack-stats.js';
import { parseId } from '#domain/ids.js';
import { latencyBucket } from '#domain/latency-histogram.js';
import { statsWindow } from '#domain/stats-window.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type ApiUnderTest, startApi } from '../api-harness.js';
import type { StatsView } from './stats.schema.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const PERIODS = 8_640;
const ANSWER_MS_MAX = 50;
const CALLS = 50;
/** A process that has just started runs its code slowly. */
const WARMING_CALLS = 20;

let db: TestDatabase;
let api: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  merchant = await api.merchant();
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

async function webhook(): Promise<string> {
  const body = { url: 'http://127.0.0.1:9/', events: ['*'] };
  return (await api.call<{ id: string }>('POST /v1/webhooks', { key: merchant.key, body })).body.id;
}

async function stats(id: string, window: string): Promise<StatsView> {
  const path = `GET /v1/webhooks/${id}/stats?window=${window}`;
  const { status, body } = await api.call<StatsView>(path, { key: merchant.key });
  expect(status).toBe(200);
  return body;
}

function pack(mayGoOn: () => boolean = () => true): Promise<void> {
  return packStats(api.database, { forgetBeforeMs: Date.now() - 31 * DAY_MS, mayGoOn });
}

async function count(id: string, at: string, outcome: string, durationMs: number, attempts: number) {
  await api.database.$executeRaw`
    INSERT INTO delivery_stats (endpoint_id, period_start, outcome, latency_bucket, merchant_id, attempts)
    VALUES (${parseId('wh', id)}::uuid, date_bin('5 minutes', ${Prisma.raw(at)}, 'epoch'), ${outcome},
            ${latencyBucket(durationMs)}::smallint, ${parseId('mrc', merchant.id)}::uuid, ${attempts})`;
}

test('nothing yet: zeros for every step, and null where there is nothing to divide', async () => {
  const body = await stats(await webhook(), '6h');
  expect(body).toMatchObject({
    window: '6h',
    attempts: 0,
    success_rate: null,
    latency_ms: null,
    step_seconds: 300,
  });
  expect(Object.values(body.outcomes)).toEqual(Array(10).fill(0));
  expect(body.series).toHaveLength(72);
  for (const { attempts, latency_ms: latency } of body.series) expect([attempts, latency]).toEqual([0, null]);
  const starts = body.series.map(({ start }) => Date.parse(start));
  expect(starts).toEqual(starts.map((_, index) => Date.parse(body.from) + index * 300_000));
  expect(Date.parse(body.to)).toBe((starts.at(-1) ?? 0) + 300_000);
  expect(Date.now()).toBeGreaterThan(starts.at(-1) ?? Infinity);
});

test('counts, rate, latency and series', async () => {
  const id = await webhook();
  await count(id, 'now()', 'succeeded', 4, 90);
  await count(id, 'now()', 'timeout', 10_000, 6);
  await count(id, `now() - interval '30 minutes'`, 'http_error', 9, 3);
  // Of no window that is asked for, and of no receiver's speed.
  await count(id, `now() - interval '3 hours'`, 'succeeded', 1, 1_000);
  await count(id, 'now()', 'dns_error', 2, 1);
  const body = await stats(id, '1h');
  expect(body).toMatchObject({
    webhook_id: id,
    attempts: 100,
    outcomes: { succeeded: 90, timeout: 6, http_error: 3, dns_error: 1, blocked: 0, unknown: 0 },
    success_rate: 0.9,
    latency_ms: { p50: 4, p95: 9_728, p99: 9_728 },
  });
  expect(body.series).toHaveLength(12);
  expect(body.series.at(-1)).toMatchObject({ attempts: 97, succeeded: 90, failed: 7 });
  expect(body.series.find(({ attempts }) => attempts > 0)).toMatchObject({
    attempts: 3,
    failed: 3,
    latency_ms: { p50: 9, p95: 9, p99: 9 },
  });
  expect((await stats(id, '6h')).attempts).toBe(1_100);
});

test('windows are from an hour to 30 days; without one, a day', async () => {
  const id = await webhook();
  const path = `GET /v1/webhooks/${id}/stats`;
  expect((await api.call(path, { key: merchant.key })).body).toMatchObject({
    window: '24h',
    step_seconds: 900,
  });
  for (const window of ['31d', '0h', '721h', 'month', '1H', '-1d', '1.5h', '', '1h&window=2h'])
    expect(await api.call(`${path}?window=${window}`, { key: merchant.key })).toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'window' }] } },
    });
  const stranger = await api.merchant();
  expect(await api.call(path, { key: stranger.key })).toMatchObject({ status: 404 });
  expect(await api.call(path)).toMatchObject({ status: 200 });
});

describe('a month of a busy endpoint', () => {
  let id: string;

  /** 8,640 periods, each with 3 outcomes in 12 buckets: a row each, as settle writes them. */
  beforeAll(async () => {
    id = await webhook();
    await api.database.$executeRaw`
      INSERT INTO delivery_stats (endpoint_id, period_start, outcome, latency_bucket, merchant_id, attempts)
      SELECT ${parseId('wh', id)}::uuid, date_bin('5 minutes', now(), 'epoch') - n * interval '5 minutes', outcome, bucket,
             ${parseId('mrc', merchant.id)}::uuid, 1 + (n * bucket) % 50
      FROM generate_series(0, ${PERIODS - 1}) AS n, unnest(ARRAY['succeeded', 'http_error', 'timeout']) AS outcome,
           generate_series(20, 31) AS bucket`;
    await api.database.$executeRaw`ANALYZE delivery_stats`;
  }, 60_000);

  test('packing it changes no answer', async () => {
    const windows = ['1h', '24h', '45h', '7d', '30d'];
    const answers = () => Promise.all(windows.map((window) => stats(id, window)));
    const before = await answers();
    expect(before[4]?.attempts).toBeGreaterThan(PERIODS * 36);
    // Told to stop in the middle, and begun anew.
    let asked = 0;
    await pack(() => asked++ < 4);
    await pack();
    await pack();
    const after = await answers();
    for (const [index, answer] of after.entries()) {
      // A step may have begun in between.
      if (answer.to === before[index]?.to) expect(answer).toEqual(before[index]);
    }
    const [left] = await api.database.$queryRaw<{ rows: number; packed: number }[]>`
      SELECT (SELECT count(*)::int FROM delivery_stats WHERE endpoint_id = ${parseId('wh', id)}::uuid) AS rows,
             (SELECT count(*)::int FROM delivery_stats_packed WHERE endpoint_id = ${parseId('wh', id)}::uuid) AS packed`;
    // Four periods of 36 rows; 16 hours by 5 minutes, 32 by 15 minutes, 6 days by hours, 22 days by 6 hours.
    expect(left?.rows).toBeLessThanOrEqual(5 * 36);
    expect(left?.packed).toBeLessThan(192 + 128 + 144 + 88 + 10);
    await api.database.$executeRawUnsafe('VACUUM ANALYZE delivery_stats, delivery_stats_packed');
  }, 60_000);

  test(`is answered in ${ANSWER_MS_MAX} ms, and without a look at the attempts`, async () => {
    const window = statsWindow(30 * DAY_MS, Date.now());
    const endpointId = parseId('wh', id) ?? '';
    const query = statsQuery({ id: endpointId, merchantId: parseId('mrc', merchant.id) ?? '' }, window);
    const plan = await api.database.$queryRaw<Record<string, string>[]>`EXPLAIN (ANALYZE, BUFFERS) ${query}`;
    const text = plan.map((row) => Object.values(row).join('')).join('\n');
    expect(text).toContain('delivery_stats_packed');
    expect(text).not.toMatch(/attempts_|on (?:attempts|deliveries|events)/);

    const tookMs: number[] = [];
    for (let call = 0; call < WARMING_CALLS; call++) await stats(id, '30d');
    const before = process.cpuUsage();
    for (let call = 0; call < CALLS; call++) {
      const startMs = performance.now();
      await stats(id, '30d');
      tookMs.push(performance.now() - startMs);
    }
    const { user, system } = process.cpuUsage(before);
    const cpuMs = (user + system) / 1_000 / CALLS;
    tookMs.sort((a, b) => a - b);
    const [p50, p99] = [0.5, 0.99].map((q) => tookMs[Math.ceil(q * CALLS) - 1] ?? 0) as [number, number];
    console.info(
      `stats of 30 days, ${CALLS} calls: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, CPU ${cpuMs.toFixed(1)} ms a call\n${text}`,
    );
    const executionMs = Number(/Execution Time: ([\d.]+) ms/.exec(text)?.[1]);
    // The work, not the wait for a processor that other tests have.
    expect(cpuMs + executionMs).toBeLessThan(ANSWER_MS_MAX);
  });

  test('periods that no window reaches are forgotten', async () => {
    await count(id, `now() - interval '32 days'`, 'succeeded', 1, 1);
    await pack();
    const [{ oldest } = { oldest: new Date(0) }] = await api.database.$queryRaw<{ oldest: Date }[]>`
      SELECT min(period_start) AS oldest FROM delivery_stats`;
    expect(Date.now() - oldest.getTime()).toBeLessThan(DAY_MS);
    const packed = await api.database.$queryRaw<unknown[]>`
      SELECT FROM delivery_stats_packed WHERE period_start < now() - interval '31 days 6 hours'`;
    expect(packed).toEqual([]);
  });
});
