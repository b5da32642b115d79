import { parseArgs } from 'node:util';
import pg from 'pg';
import { DAY_MS } from '#adapters/postgres/id-range.js';
import { ApiClient } from '#testkit/api-client.js';
import { ChildProgram } from './rig/child-program.js';
import { Producer } from './rig/producer.js';
import type { CeilingCalls } from './rig/programs/ceiling.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { type QueryTimes, tableOf, timeQueries } from './rig/scale-calls.js';
import { FAT_MERCHANT, MAIN_ENDPOINT, PAUSED_ENDPOINT } from './rig/scale-model.js';
import { writePlans } from './rig/scale-plans.js';
import { logQueries, type Scope } from './rig/scale-queries.js';
import { type Measure, MEASURES, median, type Rates, ScaleRates } from './rig/scale-rates.js';
import { readSamples } from './rig/scale-samples.js';
import { assertRoom, type Seeded, seedLog } from './rig/scale-seed.js';
import { makeTenants } from './rig/scale-tenants.js';
import { ThroughputRig } from './rig/throughput-rig.js';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    deliveries: { type: 'string' },
    rounds: { type: 'string' },
    calls: { type: 'string' },
    connections: { type: 'string' },
  },
});
const USUAL = flags.quick
  ? { deliveries: 100_000, rounds: 1, calls: 20, seconds: 2, ceilingSeconds: 1, warmUpSeconds: 1 }
  : { deliveries: 10_000_000, rounds: 5, calls: 200, seconds: 6, ceilingSeconds: 3, warmUpSeconds: 2 };
const SIZE = {
  ...USUAL,
  deliveries: countOf('deliveries') ?? USUAL.deliveries,
  rounds: countOf('rounds') ?? USUAL.rounds,
  calls: countOf('calls') ?? USUAL.calls,
  /** Days that are written at once. */
  connections: countOf('connections') ?? 2,
};
const TARGET = { rate_of_empty: 0.9, query_p99_ms: 50 } as const;

const PRODUCER_CONNECTIONS = 10;

process.exitCode = await runBenchmark(resultName(), run);

function countOf(flag: 'deliveries' | 'rounds' | 'calls' | 'connections'): number | undefined {
  const text = flags[flag];
  if (text !== undefined && !/^[1-9]\d{0,9}$/.test(text))
    throw new Error(`--${flag} must be a whole number from 1, not ${text}`);
  return text === undefined ? undefined : Number(text);
}

/** One of another size does not replace the recorded one. */
function resultName(): string {
  const isUsual = SIZE.deliveries === USUAL.deliveries;
  return `scale${flags.quick ? '-quick' : ''}${isUsual ? '' : `-${SIZE.deliveries}`}`;
}

async function run(signal: AbortSignal): Promise<object | null> {
  await assertRoom(DATA_PARENT, SIZE.deliveries);
  await using parts = new AsyncDisposableStack();
  const ceiling = new ChildProgram<CeilingCalls>('ceiling');
  parts.defer(() => ceiling.stop());
  const rig = await ThroughputRig.start('redis', { worker: 'later' });
  if (rig === null) {
    console.log('skipped: there is neither REDIS_URL nor a redis-server on the PATH');
    return null;
  }
  parts.defer(() => rig.stop());
  const { databaseUrl, url, platformKey } = rig.installation;
  const database = new pg.Client({ connectionString: databaseUrl });
  await database.connect();
  parts.defer(() => database.end());
  const producer = new Producer(url, platformKey, PRODUCER_CONNECTIONS);
  parts.defer(() => producer.close());

  const tenants = await makeTenants(producer, rig.receiverUrl, PRODUCER_CONNECTIONS);
  const fat = tenants[FAT_MERCHANT];
  if (fat === undefined) throw new Error('there are no merchants');
  const paused = `/v1/webhooks/${fat.endpointIds[PAUSED_ENDPOINT] ?? ''}`;
  const { status } = await new ApiClient(url, platformKey).patch(paused, { status: 'paused' });
  if (status !== 200) throw new Error(`to pause a webhook was answered ${status}`);
  const target = { merchantId: fat.merchantId, endpointUuid: fat.endpointUuids[MAIN_ENDPOINT] ?? '' };
  const rates = new ScaleRates(rig, ceiling, database, target, SIZE, signal);
  await rates.warmUp();
  const empty = await rates.measure('empty');
  tellRates('on an empty database', empty);

  const seeded = await seedLog({ databaseUrl, tenants, ...SIZE, signal });
  tellSeeded(seeded);

  const full = await rates.measure('full');
  tellRates('on the full database', full);
  const kept = tellKept(empty, full);
  // What was accepted then went to a new day's partition, and a small one.
  if (Math.floor(Date.now() / DAY_MS) !== seeded.today)
    console.log(
      'it is another day (UTC) than when the log was seeded: these rates are none of a full database',
    );

  const nowMs = Date.now();
  const queries = logQueries(tenants, await readSamples(database, nowMs), nowMs);
  const times = await timeQueries(rig.installation, queries, SIZE.calls, signal);
  const missed = tellTimes(times);
  if (missed.length > 0) console.log(`their plans are in ${await writePlans(database, missed)}`);
  const met = {
    rates: Object.values(kept).every((share) => share >= TARGET.rate_of_empty),
    queries: missed.length === 0,
  };
  return { target: { ...TARGET, met }, seeded, kept, empty, full, queries: times };
}

function tellRates(where: string, rates: Rates): void {
  for (const measure of MEASURES) {
    const { ratio, per_second: rate, ceiling_per_second: ceiling } = median(rates[measure]);
    console.log(`${measure} ${where}: ratio ${ratio.toFixed(3)} (${rate}/s of ${ceiling}/s)`);
  }
}

/** @returns the part of each rate that is left, by the ratios to the ceiling, which know how busy the machine was */
function tellKept(empty: Rates, full: Rates): Record<Measure, number> {
  const kept = MEASURES.map((measure): [Measure, number] => {
    const [before, after] = [median(empty[measure]), median(full[measure])];
    const share = Math.round((after.ratio / before.ratio) * 1_000) / 1_000;
    console.log(
      `${measure}: ${Math.round(share * 100)}% of the rate on an empty database (${after.per_second}/s of ${before.per_second}/s,` +
        ` ratio ${after.ratio.toFixed(3)} of ${before.ratio.toFixed(3)}; target ≥ ${TARGET.rate_of_empty * 100}%: ` +
        `${say(share >= TARGET.rate_of_empty)})`,
    );
    return [measure, share];
  });
  return Object.fromEntries(kept) as Record<Measure, number>;
}

function tellSeeded(seeded: Seeded): void {
  const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  const { events, deliveries, attempts, open_deliveries: open } = seeded;
  console.log(
    `seeded in ${seeded.seconds} s: ${events} events, ${deliveries} deliveries (${open} open), ${attempts} attempts of ` +
      `${seeded.days} days; ${gib(seeded.database_bytes)} GiB`,
  );
  const tables = Object.entries(seeded.table_bytes).map(([name, bytes]) => `${name} ${gib(bytes)}`);
  console.log(`with their indexes, in GiB: ${tables.join(', ')}`);
}

/** @returns those that miss the target */
function tellTimes(times: readonly QueryTimes[]): QueryTimes[] {
  console.log(tableOf(times).join('\n'));
  const slowestFirst = times.toSorted((a, b) => b.p99_ms - a.p99_ms);
  const missed = slowestFirst.filter(({ p99_ms: p99 }) => p99 > TARGET.query_p99_ms);
  for (const {
    name,
    scope,
    p99_ms: p99,
    max_ms: max,
    unanswered,
    slowest,
    slowest_again_ms: again,
  } of missed)
    console.log(
      `over the target: ${name}${suffix(scope)}, p99 ${p99} ms${unanswered === 0 ? '' : `, ${unanswered} without an answer`}, ` +
        `at most ${max} ms, and ${again} ms again, by GET ${slowest}`,
    );
  const [worst] = slowestFirst;
  if (worst !== undefined) {
    const { name, scope, p99_ms: p99 } = worst;
    console.log(
      `log queries: p99 ≤ ${TARGET.query_p99_ms} ms in ${times.length - missed.length} of ${times.length}, the worst is ` +
        `${name}${suffix(scope)} with ${p99.toFixed(1)} ms (target: ${say(missed.length === 0)})`,
    );
  }
  return missed;
}

function suffix(scope: Scope | null): string {
  return scope === null ? '' : ` (${scope})`;
}

function say(isMet: boolean): string {
  return isMet ? 'met' : 'missed';
}
