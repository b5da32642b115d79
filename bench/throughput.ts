import { setTimeout as delay } from 'node:timers/promises';
import { Arrivals } from './rig/arrivals.js';
import { ChildProgram } from './rig/child-program.js';
import { describe, type Distribution } from './rig/distribution.js';
import type { QueueKind } from './rig/installation.js';
import { Producer } from './rig/producer.js';
import type { CeilingCalls } from './rig/programs/ceiling.js';
import { FAST_SLOTS } from '#pipeline/in-flight.js';
import { runBenchmark } from './rig/run.js';
import { measureMemory, mib, type WorkerMemory } from './rig/worker-memory.js';
import { receiptDistribution, sendSteadily } from './rig/steady-load.js';
import { type Cost, ThroughputRig } from './rig/throughput-rig.js';

const IS_QUICK = process.argv.includes('--quick');
/** Nothing but what a worker is resident with. */
const IS_MEMORY = process.argv.includes('--memory');
const SIZE = IS_QUICK
  ? {
      rounds: 1,
      seconds: 1.2,
      ceilingSeconds: 0.7,
      warmUpSeconds: 0.8,
      latencySeconds: 1.5,
      workers: [] as number[],
    }
  : { rounds: 3, seconds: 8, ceilingSeconds: 4, warmUpSeconds: 5, latencySeconds: 18, workers: [1, 2, 4] };
const BATCH = 100;
const FAN_OUT = 20;
/** Each with one endpoint: a platform's events belong to many, and the promise that none of them holds up another is part of the work. */
const MERCHANTS = 50;
/** What a slow receiver takes, where several workers are compared. */
const SLOW_RECEIVER_MS = 100;
/** Beside the load, so that latency is seen without being the load. */
const LATENCY_EVENTS_PER_SECOND = 25;
const LATENCY_CONNECTIONS = 16;
/** The load's first second makes connections. */
const LATENCY_WARM_UP_SECONDS = 1;

/** Median ratios to the ceiling of the same run, on two cores, on Redis unless they say otherwise. */
const TARGET = {
  end_to_end: 0.12,
  drain: 0.2,
  ingest_batches: 0.35,
  end_to_end_on_postgres: 0.06,
  idle_p50_ms: 8,
  idle_p99_ms: 30,
  worker_rss_mb: 250,
} as const;

/** A rate, and the ceiling's that was measured right before it. */
interface Rate {
  readonly per_second: number;
  readonly ceiling_per_second: number;
  readonly ratio: number;
}

interface Measured {
  readonly queue: QueueKind;
  readonly rates: Readonly<Record<string, readonly Rate[]>>;
  /** Posts a second of the ceiling's loop with its receiver in the same process: once after each `end to end`. */
  readonly one_process_per_second: readonly number[];
  readonly cost: Cost;
  readonly latency: { readonly idle: Distribution; readonly half_load: Distribution };
  readonly peak_rss_bytes: Readonly<Record<string, number>>;
  readonly redis_bytes_per_waiting_event: number | null;
  /** Deliveries that are not there or did not succeed: must be 0. */
  readonly lost: number;
}

const NAME = IS_MEMORY ? 'worker-memory' : IS_QUICK ? 'throughput-quick' : 'throughput';
process.exitCode = await runBenchmark(NAME, IS_MEMORY ? runMemory : run);

async function runMemory(signal: AbortSignal): Promise<object | null> {
  const memory = await measureMemory({ merchants: MERCHANTS, seconds: SIZE.seconds, signal });
  tellTargets([], memory);
  return { target: TARGET, memory };
}

async function run(signal: AbortSignal): Promise<object | null> {
  await using parts = new AsyncDisposableStack();
  const ceiling = new ChildProgram<CeilingCalls>('ceiling');
  parts.defer(() => ceiling.stop());
  const results: Measured[] = [];
  for (const queue of ['redis', 'postgres'] as const) {
    const measured = await measure(queue, ceiling, signal);
    if (measured === null)
      console.log('redis: skipped, there is neither REDIS_URL nor a redis-server on the PATH');
    else results.push(measured);
  }
  const scaling = await measureScaling(signal);
  const memory = IS_QUICK ? [] : await measureMemory({ merchants: MERCHANTS, seconds: SIZE.seconds, signal });
  const lost = results.reduce((sum, result) => sum + result.lost, 0);
  if (lost !== 0) throw new Error(`${lost} deliveries were lost or failed`);
  tellTable(results);
  tellTargets(results, memory);
  return { target: TARGET, results, scaling, memory };
}

type Beside = (name: string, work: () => Promise<number>) => Promise<void>;

/** @returns null when a Redis is wanted and there is none */
async function measure(
  queue: QueueKind,
  ceiling: ChildProgram<CeilingCalls>,
  signal: AbortSignal,
): Promise<Measured | null> {
  await using parts = new AsyncDisposableStack();
  const rig = await ThroughputRig.start(queue, { worker: 'later' });
  if (rig === null) return null;
  parts.defer(() => rig.stop());
  const rates: Record<string, Rate[]> = {};
  /** Measures beside the ceiling, which goes first each time, so that both see the same machine. */
  const beside: Beside = async (name, work) => {
    signal.throwIfAborted();
    const ceilingRate = await ceiling.call('run', { url: rig.receiverUrl, seconds: SIZE.ceilingSeconds });
    const rate = await work();
    (rates[name] ??= []).push({
      per_second: Math.round(rate),
      ceiling_per_second: Math.round(ceilingRate),
      ratio: Math.round((rate / ceilingRate) * 1_000) / 1_000,
    });
  };
  const [many, one, fanned] = [
    await rig.addMerchants(MERCHANTS),
    await rig.addMerchants(1),
    [await rig.addMerchant(FAN_OUT)],
  ];
  const { seconds } = SIZE;
  await ceiling.call('run', { url: rig.receiverUrl, seconds: SIZE.warmUpSeconds });
  /** In a hurry, of the queue on PostgreSQL only what says most. */
  const isWhole = !IS_QUICK || queue === 'redis';
  let redisWaiting: number | null = null;
  if (isWhole) {
    redisWaiting = await measureIngestAndDrain(rig, many, beside);
    await rig.settled();
  } else await rig.installation.startWorker();
  await rig.pass(many, { seconds: SIZE.warmUpSeconds });
  const latencyIdle = await measureLatency(rig, null, signal);
  const costs: Cost[] = [];
  const inOneProcess: number[] = [];
  for (let round = 0; round < SIZE.rounds; round += 1) {
    await beside('end to end', async () => {
      const passed = await rig.pass(many, { seconds });
      costs.push(passed.cost);
      return passed.deliveriesPerSecond;
    });
    if (!isWhole) continue;
    inOneProcess.push(Math.round(await ceiling.call('runWithReceiver', { seconds: SIZE.ceilingSeconds })));
    await beside('end to end to one endpoint', async () => {
      return (await rig.pass(one, { seconds })).deliveriesPerSecond;
    });
    await beside(`end to end in batches of ${BATCH}`, async () => {
      return (await rig.pass(many, { seconds, batch: BATCH })).deliveriesPerSecond;
    });
    await beside(`fan-out to ${FAN_OUT}`, async () => {
      return (await rig.pass(fanned, { seconds, deliveriesPerEvent: FAN_OUT })).deliveriesPerSecond;
    });
  }
  const endToEnd = median(rates['end to end'] ?? []).per_second;
  const latencyHalf = await measureLatency(rig, { merchantIds: many, eventsPerSecond: endToEnd / 2 }, signal);
  const [peakRss, lost] = [rig.peakRss(), await rig.lost()];

  // Each needs an installation without a worker; the first round was the one above.
  for (let round = 1; round < SIZE.rounds; round += 1) {
    await using apart = new AsyncDisposableStack();
    const other = (await ThroughputRig.start(queue, { worker: 'later' })) as ThroughputRig;
    apart.defer(() => other.stop());
    await measureIngestAndDrain(other, await other.addMerchants(MERCHANTS), beside);
  }
  const result: Measured = {
    queue,
    rates,
    one_process_per_second: inOneProcess,
    cost: costs[Math.floor(costs.length / 2)] as Cost,
    latency: { idle: latencyIdle, half_load: latencyHalf },
    peak_rss_bytes: peakRss,
    redis_bytes_per_waiting_event: redisWaiting,
    lost,
  };
  tell(result);
  return result;
}

/**
 * While no worker runs, and so nothing is delivered, and then from what has come to wait.
 *
 * @returns what Redis holds for an event that waits in it; null without a Redis
 */
async function measureIngestAndDrain(
  rig: ThroughputRig,
  merchantIds: readonly string[],
  beside: Beside,
): Promise<number | null> {
  const redisWaiting = await rig.redisBytesPerWaiting(() => rig.ingest(merchantIds, SIZE.warmUpSeconds, 1));
  for (const [name, batch] of [
    ['ingest alone', 1],
    [`ingest alone in batches of ${BATCH}`, BATCH],
  ] as const) {
    await beside(name, async () => {
      const { events, seconds } = await rig.ingest(merchantIds, SIZE.seconds, batch);
      return events / seconds;
    });
  }
  await beside('drain alone', () => rig.drain(SIZE.seconds));
  return redisWaiting;
}

/** Beside a load, or with none. */
async function measureLatency(
  rig: ThroughputRig,
  load: { readonly merchantIds: readonly string[]; readonly eventsPerSecond: number } | null,
  signal: AbortSignal,
): Promise<Distribution> {
  await using parts = new AsyncDisposableStack();
  const arrivals = await Arrivals.listen();
  parts.defer(() => arrivals.close());
  const { url, platformKey } = rig.installation;
  const producer = new Producer(url, platformKey, LATENCY_CONNECTIONS);
  parts.defer(() => producer.close());
  const merchantId = await rig.addMerchant(1, arrivals.url);
  const steady = { producer, arrivals, merchantId, eventsPerSecond: LATENCY_EVENTS_PER_SECOND, signal };
  await sendSteadily(steady, 1);
  const seconds = SIZE.latencySeconds + LATENCY_WARM_UP_SECONDS;
  const background = load === null ? null : rig.pass(load.merchantIds, { ...load, seconds });
  if (background !== null) await delay(LATENCY_WARM_UP_SECONDS * 1_000);
  const receipts = await sendSteadily(steady, SIZE.latencySeconds);
  await background;
  return receiptDistribution(receipts);
}

/** More workers where the receiver is what is waited for. */
async function measureScaling(signal: AbortSignal): Promise<object[]> {
  const measured: object[] = [];
  for (const workers of SIZE.workers) {
    signal.throwIfAborted();
    await using parts = new AsyncDisposableStack();
    const rig = await ThroughputRig.start('redis', { receiverDelayMs: SLOW_RECEIVER_MS });
    if (rig === null) return [];
    parts.defer(() => rig.stop());
    for (let started = 1; started < workers; started += 1) await rig.installation.startWorker();
    const merchantIds = [await rig.addMerchant(FAN_OUT)];
    await rig.pass(merchantIds, { seconds: SIZE.warmUpSeconds, deliveriesPerEvent: FAN_OUT });
    const { deliveriesPerSecond } = await rig.pass(merchantIds, {
      seconds: SIZE.seconds,
      deliveriesPerEvent: FAN_OUT,
    });
    const rate = Math.round(deliveriesPerSecond);
    console.log(
      `scaling, receiver takes ${SLOW_RECEIVER_MS} ms, at most ${FAST_SLOTS / 2} of the merchant in flight in each: ` +
        `${workers} workers ${rate} deliveries/s`,
    );
    measured.push({ workers, deliveries_per_second: rate });
  }
  return measured;
}

/** Of an even number, the lower of the two in the middle. */
function median(rates: readonly Rate[]): Rate {
  return rates.toSorted((a, b) => a.ratio - b.ratio)[Math.floor((rates.length - 1) / 2)] as Rate;
}

function tell({
  queue,
  rates,
  one_process_per_second: inOneProcess,
  cost,
  latency,
  peak_rss_bytes: rss,
  redis_bytes_per_waiting_event: redis,
}: Measured): void {
  for (const [name, ofName] of Object.entries(rates)) {
    const { ratio, per_second: rate, ceiling_per_second: ceiling } = median(ofName);
    console.log(`${name}${suffix(queue)}: ratio ${ratio.toFixed(2)} (${rate}/s of ${ceiling}/s)`);
  }
  const oneProcess = inOneProcess.toSorted((a, b) => a - b)[Math.floor((inOneProcess.length - 1) / 2)];
  if (oneProcess !== undefined) {
    const shares = ['end to end', 'drain alone'].map(
      (name) => `${name} is ${(median(rates[name] ?? []).per_second / oneProcess).toFixed(2)} of that`,
    );
    console.log(`bare loop and its receiver in one process: ${oneProcess}/s, ${shares.join(', ')}`);
  }
  console.log(`latency idle${suffix(queue)}: ${describe(latency.idle)}`);
  console.log(`latency at half load${suffix(queue)}: ${describe(latency.half_load)}`);
  const cpu = Object.entries(cost.cpu_us_per_event).map(([name, us]) => `${name} ${us}`);
  console.log(`CPU per event${suffix(queue)}: ${cpu.join(', ')} µs`);
  console.log(
    `peak memory${suffix(queue)}: ${Object.entries(rss)
      .map(([name, bytes]) => `${name} ${mib(bytes)}`)
      .join(', ')} MiB`,
  );
  console.log(`WAL per event${suffix(queue)}: ${cost.wal_bytes_per_event} bytes`);
  if (redis !== null)
    console.log(
      `Redis memory: ${redis} bytes for an event that waits, ${cost.redis_bytes_per_event} once it is done`,
    );
}

/** Every round of every rate: how much of a median is the machine's doing shows in how far they lie apart. */
function tellTable(results: readonly Measured[]): void {
  const rows = results.flatMap(({ queue, rates }) =>
    Object.entries(rates).map(([name, ofName]) => {
      const rounds = ofName.map(({ ratio, per_second: rate }) => `${ratio.toFixed(3)} ${rate}/s`.padEnd(16));
      return [`${name}${suffix(queue)}`, median(ofName).ratio.toFixed(3), ...rounds];
    }),
  );
  const width = Math.max(...rows.map(([name = '']) => name.length));
  console.log(`\n${'measure'.padEnd(width)}  median  rounds`);
  for (const [name = '', ...cells] of rows)
    console.log(`${name.padEnd(width)}  ${cells.join('   ')}`.trimEnd());
  console.log();
}

function suffix(queue: QueueKind): string {
  return queue === 'redis' ? '' : ' on PostgreSQL alone';
}

function tellTargets(results: readonly Measured[], memory: readonly WorkerMemory[]): void {
  const ratioOf = (queue: QueueKind, name: string): number | null => {
    const rates = results.find((result) => result.queue === queue)?.rates[name];
    return rates === undefined ? null : median(rates).ratio;
  };
  const onRedis = results.find(({ queue }) => queue === 'redis');
  const atLeast = (name: string, value: number | null, target: number): void => {
    if (value !== null)
      console.log(`target, ${name} ≥ ${target}: ${value >= target ? 'met' : 'missed'} (${value})`);
  };
  const atMost = (name: string, value: number | undefined, target: number): void => {
    if (value !== undefined)
      console.log(`target, ${name} ≤ ${target}: ${value <= target ? 'met' : 'missed'} (${value})`);
  };
  atLeast('end to end', ratioOf('redis', 'end to end'), TARGET.end_to_end);
  atLeast('drain alone', ratioOf('redis', 'drain alone'), TARGET.drain);
  atLeast(
    'ingest in batches',
    ratioOf('redis', `ingest alone in batches of ${BATCH}`),
    TARGET.ingest_batches,
  );
  atLeast('end to end on PostgreSQL alone', ratioOf('postgres', 'end to end'), TARGET.end_to_end_on_postgres);
  atMost('idle latency p50 in ms', onRedis?.latency.idle.p50_ms, TARGET.idle_p50_ms);
  atMost('idle latency p99 in ms', onRedis?.latency.idle.p99_ms, TARGET.idle_p99_ms);
  for (const { heap, worker_rss_bytes: bytes } of memory)
    atMost(`worker's memory in MB, ${heap} heap`, Math.round(bytes / 1e6), TARGET.worker_rss_mb);
}
