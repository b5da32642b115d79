import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { parseId } from '#domain/ids.js';
import { Arrivals } from './rig/arrivals.js';
import { seedBacklog, trimBacklog } from './rig/backlog-seed.js';
import { CrowdReceiver } from './rig/crowd-receiver.js';
import { describe, type Distribution } from './rig/distribution.js';
import { startInstallation } from './rig/installation.js';
import { Producer } from './rig/producer.js';
import { RedisMemory } from './rig/redis-memory.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { missedOf, receiptDistribution, sendSteadily } from './rig/steady-load.js';

const IS_QUICK = process.argv.includes('--quick');
const SIZE = IS_QUICK
  ? { deliveries: 100_000, leftForTheEnd: 20_000, drainSeconds: 30 }
  : { deliveries: 1_000_000, leftForTheEnd: 50_000, drainSeconds: 75 };
const ENDPOINTS = 4;
/** New events, of another merchant, while it drains. */
const EVENTS_PER_SECOND = 10;

const WINDOW_SECONDS = 5;
/** Code is compiled, connections are made, and the queue's bound finds its place. */
const WARM_UP_SECONDS = 10;
/** The rate of the start: of so many windows after that. */
const START_WINDOWS = 3;
/** At the end a window is looked at only while it cannot run dry. */
const END_WINDOWS_MAX = 3;

const TARGET = { redis_bytes: 64 * 1024 * 1024, new_event_p99_ms: 2_000, end_rate_of_start: 0.8 } as const;

const PRODUCER_CONNECTIONS = 10;

interface RateWindow {
  readonly from_seconds: number;
  readonly deliveries_per_second: number;
  /** Updates of open rows: two, a hint and a claim, where no claim is refused. */
  readonly updates_per_delivery: number;
  /** Of all: what is in the slow lane has fewer slots. */
  readonly endpoints_slow: number;
}

interface Backlog {
  readonly deliveries: number;
  readonly seeded_seconds: number;
  readonly windows: readonly RateWindow[];
  readonly end_windows: readonly RateWindow[];
  readonly start_rate_per_second: number;
  readonly end_rate_per_second: number;
  readonly redis_used_memory_bytes_max: number;
  readonly new_events: Distribution;
  /** New events that did not arrive within 10 s; they count as 10 s. */
  readonly missed: number;
}

process.exitCode = await runBenchmark(IS_QUICK ? 'backlog-quick' : 'backlog', run);

async function run(signal: AbortSignal): Promise<object | null> {
  const result = await measure(signal);
  if (result === null) return null;
  const endOfStart = result.end_rate_per_second / result.start_rate_per_second;
  const met = {
    redis: result.redis_used_memory_bytes_max < TARGET.redis_bytes,
    new_events: result.new_events.p99_ms <= TARGET.new_event_p99_ms,
    end_rate: endOfStart >= TARGET.end_rate_of_start,
  };
  const say = (isMet: boolean) => (isMet ? 'met' : 'missed');
  const memoryMib = (result.redis_used_memory_bytes_max / 2 ** 20).toFixed(1);
  console.log(`backlog, Redis memory: at most ${memoryMib} MiB (target < 64 MiB: ${say(met.redis)})`);
  console.log(
    `backlog, accept to receipt of new events of another merchant: ${describe(result.new_events)}` +
      ` (target p99 ≤ ${TARGET.new_event_p99_ms} ms: ${say(met.new_events)})`,
  );
  console.log(
    `backlog, drain rate: ${result.start_rate_per_second}/s at the start, ${result.end_rate_per_second}/s at the end` +
      ` (${Math.round(endOfStart * 100)}%, target ≥ ${TARGET.end_rate_of_start * 100}%: ${say(met.end_rate)})`,
  );
  return { target: { ...TARGET, met }, result };
}

/** @returns null, and says so, when there is no Redis */
async function measure(signal: AbortSignal): Promise<Backlog | null> {
  await using parts = new AsyncDisposableStack();
  const installation = await startInstallation('redis', DATA_PARENT, { worker: 'later' });
  const redisUrl = installation?.redisUrl ?? null;
  if (installation === null || redisUrl === null) {
    console.log('skipped: there is neither REDIS_URL nor a redis-server on the PATH');
    return null;
  }
  parts.defer(() => installation.stop());
  const crowd = await CrowdReceiver.listen('answers');
  parts.defer(() => crowd.close());
  const arrivals = await Arrivals.listen();
  parts.defer(() => arrivals.close());
  const producer = new Producer(installation.url, installation.platformKey, PRODUCER_CONNECTIONS);
  parts.defer(() => producer.close());
  const client = new pg.Client({ connectionString: installation.databaseUrl });
  await client.connect();
  parts.defer(() => client.end());

  const large = await register(producer, 'backlog', ENDPOINTS, (index) => crowd.url(String(index)));
  const other = await register(producer, 'another', 1, () => arrivals.url);
  const { deliveries } = SIZE;
  const seedStartedMs = performance.now();
  const { merchantUuid, endpointUuids } = large;
  await seedBacklog(client, { merchantId: merchantUuid, endpointIds: endpointUuids, deliveries, signal });
  const seededSeconds = Math.round((performance.now() - seedStartedMs) / 1_000);
  console.log(`${deliveries} due deliveries of ${ENDPOINTS} endpoints, seeded in ${seededSeconds} s`);

  const memory = new RedisMemory(redisUrl);
  parts.defer(() => memory.stop());
  await installation.startWorker();
  const load = {
    producer,
    arrivals,
    merchantId: other.merchantId,
    eventsPerSecond: EVENTS_PER_SECOND,
    signal,
  };
  await delay(WARM_UP_SECONDS * 1_000, undefined, { signal });
  const [windows, receipts] = await Promise.all([
    rateWindows(crowd, client, SIZE.drainSeconds / WINDOW_SECONDS, signal),
    sendSteadily(load, SIZE.drainSeconds),
  ]);
  tellWindows('while it drains', windows);

  await trimBacklog(client, { endpointIds: endpointUuids, deliveriesLeft: SIZE.leftForTheEnd, signal });
  console.log(`the oldest taken away, ${SIZE.leftForTheEnd} left`);
  const startRate = meanRate(windows.slice(0, START_WINDOWS));
  const windowsUntilDry = Math.floor(SIZE.leftForTheEnd / (startRate * WINDOW_SECONDS)) - 1;
  const endWindows = await rateWindows(
    crowd,
    client,
    Math.max(1, Math.min(END_WINDOWS_MAX, windowsUntilDry)),
    signal,
  );
  tellWindows('at the end', endWindows);
  return {
    deliveries,
    seeded_seconds: seededSeconds,
    windows,
    end_windows: endWindows,
    start_rate_per_second: startRate,
    end_rate_per_second: meanRate(endWindows),
    redis_used_memory_bytes_max: memory.bytesMax,
    new_events: receiptDistribution(receipts),
    missed: missedOf(receipts),
  };
}

async function register(
  producer: Producer,
  name: string,
  endpoints: number,
  urlOf: (index: number) => string,
): Promise<{ merchantId: string; merchantUuid: string; endpointUuids: string[] }> {
  const { answer: merchant } = await producer.post('/v1/merchants', { name });
  const endpointUuids: string[] = [];
  for (let index = 0; index < endpoints; index += 1) {
    const webhook = { merchant_id: merchant.id, url: urlOf(index), events: ['*'] };
    const { answer } = await producer.post('/v1/webhooks', webhook);
    endpointUuids.push(parseId('wh', answer.id) ?? '');
  }
  return { merchantId: merchant.id, merchantUuid: parseId('mrc', merchant.id) ?? '', endpointUuids };
}

/** Counts what arrives, window by window, from now on. */
async function rateWindows(
  receiver: CrowdReceiver,
  client: pg.Client,
  count: number,
  signal: AbortSignal,
): Promise<readonly RateWindow[]> {
  const windows: RateWindow[] = [];
  const startedMs = performance.now();
  let beganMs = startedMs;
  let before = receiver.requests;
  let { updates: updatesBefore } = await look(client);
  while (windows.length < count) {
    await delay(WINDOW_SECONDS * 1_000, undefined, { signal });
    const nowMs = performance.now();
    const seconds = (nowMs - beganMs) / 1_000;
    const received = receiver.requests - before;
    const { updates, slow } = await look(client);
    windows.push({
      from_seconds: Math.round((beganMs - startedMs) / 1_000),
      deliveries_per_second: Math.round(received / seconds),
      updates_per_delivery: Math.round(((updates - updatesBefore) / Math.max(1, received)) * 10) / 10,
      endpoints_slow: slow,
    });
    beganMs = nowMs;
    before += received;
    updatesBefore = updates;
  }
  return windows;
}

async function look(client: pg.Client): Promise<{ readonly updates: number; readonly slow: number }> {
  const { rows } = await client.query<{ updates: number; slow: number }>(
    `SELECT (SELECT n_tup_upd::float8 FROM pg_stat_user_tables WHERE relname = 'open_deliveries') AS updates,
            (SELECT count(*)::int FROM endpoint_gates WHERE lane = 'slow') AS slow`,
  );
  return rows[0] ?? { updates: Number.NaN, slow: Number.NaN };
}

function meanRate(windows: readonly RateWindow[]): number {
  return Math.round(windows.reduce((sum, { deliveries_per_second: rate }) => sum + rate, 0) / windows.length);
}

function tellWindows(when: string, windows: readonly RateWindow[]): void {
  const rates = windows.map(({ deliveries_per_second: rate }) => rate).join(' ');
  console.log(`deliveries/s ${when}, ${WINDOW_SECONDS} s each: ${rates}`);
  const updates = windows.map(({ updates_per_delivery: count }) => count).join(' ');
  console.log(`  updates of open rows for each, two where no claim is refused: ${updates}`);
  const slow = windows.map(({ endpoints_slow: count }) => count).join(' ');
  console.log(`  endpoints in the slow lane: ${slow}`);
}
