import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Arrivals } from './rig/arrivals.js';
import { describe, type Distribution, distributionOf } from './rig/distribution.js';
import { type QueueKind, startInstallation } from './rig/installation.js';
import { describeMachine, type Machine } from './rig/machine.js';
import { Producer } from './rig/producer.js';
import { USUAL_DATA, USUAL_TYPE } from './rig/usual-event.js';

/** Lets code be compiled, connections be made and caches be filled. */
const WARM_UP_EVENTS = 100;
const EVENTS = 500;

/** Between two events, so that each meets an idle machine; uneven, so that none of our timers keeps step with it. */
const PAUSE_MS_MIN = 10;
const PAUSE_MS_MAX = 40;

/** What the project promises on an idle machine, on Redis. */
const TARGET = { p50_ms: 15, p99_ms: 60 } as const;

/** Above this the machine does not count as idle: on two cores, a fifth of one. */
const BUSY_PERCENT_MAX = 10;

interface Latency {
  readonly queue: QueueKind;
  /** From just before the POST is written to the arrival of the request's head at the receiver. */
  readonly accept_to_receipt: Distribution;
  /** From just before the POST is written to the head of the 202. */
  readonly accepted: Distribution;
}

interface Report {
  readonly measured_at: string;
  readonly machine: Machine;
  readonly target_on_redis: typeof TARGET & { readonly met: boolean | null };
  readonly results: readonly Latency[];
}

/** Both from the root of the project, where `npm run` starts it. */
const DATA_PARENT = process.env['POSTHORN_BENCH_DIR'] ?? '.posthorn';
const RESULT_FILE = join('bench', 'results', 'latency.json');

process.exitCode = await main();

async function main(): Promise<number> {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interruption.abort());
  try {
    const machine = await describeMachine(DATA_PARENT);
    console.log(describeRun(machine).join('\n'));
    const results: Latency[] = [];
    for (const queue of ['redis', 'postgres'] as const) {
      const result = await measure(queue, interruption.signal);
      if (result !== null) results.push(result);
    }
    await finish({ machine, results });
    return 0;
  } catch (error) {
    if (interruption.signal.aborted) return 130;
    console.error(error);
    return 1;
  }
}

/** @returns null, and says so, when there is no Redis */
async function measure(queue: QueueKind, signal: AbortSignal): Promise<Latency | null> {
  await using parts = new AsyncDisposableStack();
  const installation = await startInstallation(queue, DATA_PARENT);
  if (installation === null) {
    console.log(`${queue}: skipped, there is neither REDIS_URL nor a redis-server on the PATH`);
    return null;
  }
  parts.defer(() => installation.stop());
  const arrivals = await Arrivals.listen();
  parts.defer(() => arrivals.close());
  const producer = new Producer(installation.url, installation.platformKey);
  parts.defer(() => producer.close());
  const merchantId = await register(producer, arrivals.url);
  await sendOneByOne(WARM_UP_EVENTS, { producer, arrivals, merchantId, signal });
  const { receiptMs, acceptedMs } = await sendOneByOne(EVENTS, { producer, arrivals, merchantId, signal });
  const result = {
    queue,
    accept_to_receipt: distributionOf(receiptMs),
    accepted: distributionOf(acceptedMs),
  };
  console.log(`accept to receipt, idle, ${queue}: ${describe(result.accept_to_receipt)}`);
  console.log(`accept to 202, idle, ${queue}: ${describe(result.accepted)}`);
  return result;
}

async function register(producer: Producer, url: string): Promise<string> {
  const { answer: merchant } = await producer.post('/v1/merchants', { name: 'latency' });
  await producer.post('/v1/webhooks', { merchant_id: merchant.id, url, events: ['*'] });
  return merchant.id;
}

async function sendOneByOne(
  count: number,
  run: {
    readonly producer: Producer;
    readonly arrivals: Arrivals;
    readonly merchantId: string;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly receiptMs: readonly number[]; readonly acceptedMs: readonly number[] }> {
  const receiptMs: number[] = [];
  const acceptedMs: number[] = [];
  const event = { merchant_id: run.merchantId, type: USUAL_TYPE, data: USUAL_DATA };
  for (let sent = 0; sent < count; sent += 1) {
    const { answer, sentMs, answeredMs } = await run.producer.post('/v1/events', event);
    // It may have arrived before the 202 was read; the receiver keeps the time.
    receiptMs.push((await run.arrivals.of(answer.id)) - sentMs);
    acceptedMs.push(answeredMs - sentMs);
    await delay(PAUSE_MS_MIN + Math.random() * (PAUSE_MS_MAX - PAUSE_MS_MIN), undefined, {
      signal: run.signal,
    });
  }
  return { receiptMs, acceptedMs };
}

function describeRun({ cpu, cores, busy_percent: busy, disk_sync: sync }: Machine): string[] {
  return [
    `${cores} cores of ${cpu}, ${busy}% busy with other work; a disk sync takes ${describe(sync)}`,
    ...(busy > BUSY_PERCENT_MAX
      ? ['this machine is not idle: the figures say what it does besides, too']
      : []),
    `${EVENTS} events one after another, after ${WARM_UP_EVENTS} to warm up`,
  ];
}

async function finish({ machine, results }: Pick<Report, 'machine' | 'results'>): Promise<void> {
  const onRedis = results.find(({ queue }) => queue === 'redis')?.accept_to_receipt;
  const met =
    onRedis === undefined ? null : onRedis.p50_ms <= TARGET.p50_ms && onRedis.p99_ms <= TARGET.p99_ms;
  const target = `target on redis: p50 ≤ ${TARGET.p50_ms} ms, p99 ≤ ${TARGET.p99_ms} ms`;
  console.log(`${target}: ${met === null ? 'not measured' : met ? 'met' : 'missed'}`);
  const report: Report = {
    measured_at: new Date().toISOString(),
    machine,
    target_on_redis: { ...TARGET, met },
    results,
  };
  await mkdir(dirname(RESULT_FILE), { recursive: true });
  await writeFile(RESULT_FILE, `${JSON.stringify(report, undefined, 2)}\n`);
  console.log(`written to ${RESULT_FILE}`);
}
