import { Arrivals } from './rig/arrivals.js';
import { CrowdReceiver } from './rig/crowd-receiver.js';
import { describe, type Distribution } from './rig/distribution.js';
import { startInstallation } from './rig/installation.js';
import { Producer } from './rig/producer.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { type SlotSample, SlotSampler } from './rig/slot-sampler.js';
import { missedOf, receiptDistribution, sendSteadily, type SteadyLoad } from './rig/steady-load.js';
import { USUAL_DATA, USUAL_TYPE } from './rig/usual-event.js';

const EVENTS_PER_SECOND = 50;
/** Lets code be compiled, connections be made and caches be filled. */
const WARM_UP_SECONDS = 4;
const ALONE_SECONDS = 20;
const BESIDE_SECONDS = 60;
/** The first attempts hold fast slots until they are known to be slow: what that costs is looked at by itself. */
const BEGINNING_SECONDS = 5;

const HANGING_DELIVERIES = 5_000;
const HANGING_TIMEOUT_MS = 10_000;
/** What one call takes. */
const BATCH_EVENTS_MAX = 500;

/** B's p99 beside A, of its p99 alone. */
const TARGET = { p99_ratio: 2, p99_ratio_aim: 1.2 } as const;

/** There is a sample a second, and every so many of them one is printed. */
const SAMPLES_PER_LINE = 10;
/** A connection for each event that may be under way when an answer takes a while. */
const PRODUCER_CONNECTIONS = 20;

const SCENARIOS = [
  { name: 'one hanging endpoint', endpoints: 1 },
  { name: '100 hanging endpoints', endpoints: 100 },
] as const;
type Scenario = (typeof SCENARIOS)[number];

interface Isolation {
  readonly scenario: string;
  readonly alone: Distribution;
  readonly beside: Distribution;
  readonly beside_beginning: Distribution;
  readonly p99_ratio: number;
  /** Events of B that did not arrive within 10 s; they count as 10 s. */
  readonly missed: number;
  readonly a_requests: number;
  readonly slots: readonly SlotSample[];
}

process.exitCode = await runBenchmark('isolation', measureAll);

async function measureAll(signal: AbortSignal): Promise<object | null> {
  console.log(
    `B: ${EVENTS_PER_SECOND} events/s, ${ALONE_SECONDS} s alone, then ${BESIDE_SECONDS} s beside ` +
      `${HANGING_DELIVERIES} deliveries of A that hang for ${HANGING_TIMEOUT_MS / 1_000} s`,
  );
  const results: Isolation[] = [];
  for (const scenario of SCENARIOS) {
    const result = await measure(scenario, signal);
    if (result === null) return null;
    results.push(result);
  }
  const met = results.every(({ p99_ratio }) => p99_ratio <= TARGET.p99_ratio);
  console.log(
    `target: p99 ratio ≤ ${TARGET.p99_ratio} (aim ${TARGET.p99_ratio_aim}): ${met ? 'met' : 'missed'}`,
  );
  return { target: { ...TARGET, met }, results };
}

/** @returns null, and says so, when there is no Redis */
async function measure(scenario: Scenario, signal: AbortSignal): Promise<Isolation | null> {
  await using parts = new AsyncDisposableStack();
  const installation = await startInstallation('redis', DATA_PARENT);
  if (installation === null) {
    console.log('skipped: there is neither REDIS_URL nor a redis-server on the PATH');
    return null;
  }
  parts.defer(() => installation.stop());
  const arrivals = await Arrivals.listen();
  parts.defer(() => arrivals.close());
  const hanging = await CrowdReceiver.listen('hangs');
  parts.defer(() => hanging.close());
  const producer = new Producer(installation.url, installation.platformKey, PRODUCER_CONNECTIONS);
  parts.defer(() => producer.close());

  const b = await register(producer, 'B', [arrivals.url]);
  const urls = Array.from({ length: scenario.endpoints }, (_, index) => hanging.url(String(index)));
  const a = await register(producer, 'A', urls);
  const load: SteadyLoad = { producer, arrivals, merchantId: b, eventsPerSecond: EVENTS_PER_SECOND, signal };
  await sendSteadily(load, WARM_UP_SECONDS);
  const alone = receiptDistribution(await sendSteadily(load, ALONE_SECONDS));
  console.log(`${scenario.name}, B alone: ${describe(alone)}`);

  await postHanging(producer, a, HANGING_DELIVERIES / scenario.endpoints);
  const sampler = await SlotSampler.start(installation.databaseUrl);
  parts.defer(() => sampler.close());
  const receipts = await sendSteadily(load, BESIDE_SECONDS);
  await sampler.close();
  const slots = sampler.samples;
  const beside = receiptDistribution(receipts);
  const beginning = receiptDistribution(receipts.filter(({ atSeconds }) => atSeconds < BEGINNING_SECONDS));
  const ratio = Math.round((beside.p99_ms / alone.p99_ms) * 100) / 100;
  console.log(`${scenario.name}, B beside A: ${describe(beside)}`);
  console.log(`${scenario.name}, B in the first ${BEGINNING_SECONDS} s of it: ${describe(beginning)}`);
  for (const sample of slots.filter((_, index) => index % SAMPLES_PER_LINE === 0))
    console.log(tellSlots(sample));
  console.log(`isolation, ${scenario.name}: p99 ratio ${ratio} (${beside.p99_ms} ms of ${alone.p99_ms} ms)`);
  return {
    scenario: scenario.name,
    alone,
    beside,
    beside_beginning: beginning,
    p99_ratio: ratio,
    missed: missedOf(receipts),
    a_requests: hanging.requests,
    slots,
  };
}

async function register(producer: Producer, name: string, urls: readonly string[]): Promise<string> {
  const { answer: merchant } = await producer.post('/v1/merchants', { name });
  for (const url of urls) {
    const webhook = { merchant_id: merchant.id, url, events: ['*'], timeout_ms: HANGING_TIMEOUT_MS };
    await producer.post('/v1/webhooks', webhook);
  }
  return merchant.id;
}

async function postHanging(producer: Producer, merchantId: string, count: number): Promise<void> {
  for (let posted = 0; posted < count; posted += BATCH_EVENTS_MAX) {
    const length = Math.min(BATCH_EVENTS_MAX, count - posted);
    const event = { merchant_id: merchantId, type: USUAL_TYPE, data: USUAL_DATA };
    await producer.post('/v1/events/batch', { events: Array.from({ length }, () => event) });
  }
}

function tellSlots(sample: SlotSample): string {
  const share = Math.round(sample.a_share_of_slots * 100);
  return (
    `  after ${Math.round(sample.at_seconds)} s: A has ${sample.a_in_flight} slots (${share}%), ` +
    `${sample.a_endpoints_slow} of its endpoints are slow, ${sample.a_breakers_open} have an open breaker`
  );
}
