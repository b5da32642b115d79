import { connectDatabase } from '#adapters/postgres/database.js';
import { parseId } from '#domain/ids.js';
import { ApiClient } from '#testkit/api-client.js';
import { seedFinal } from '#testkit/seed-final.js';
import { CrowdReceiver } from './rig/crowd-receiver.js';
import { startInstallation } from './rig/installation.js';
import { processMemory, resetPeak } from './rig/process-memory.js';
import { RecoveryRun, type Reopening } from './rig/recovery-run.js';
import { RedisMemory } from './rig/redis-memory.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { StatementWatch } from './rig/statement-watch.js';

const IS_QUICK = process.argv.includes('--quick');
const DELIVERIES = IS_QUICK ? 10_000 : 100_000;

const TARGET = { redis_bytes: 64 * 1024 * 1024, worker_growth_bytes: 64 * 1024 * 1024 } as const;

/** The worker's code is compiled and its connections are made before its memory is looked at. */
const WARM_UP_DELIVERIES = 2_000;

interface Measured extends Reopening {
  readonly deliveries: number;
  /** From then, when the webhook is resumed, until all had reached the receiver. */
  readonly delivered_seconds: number;
  /** Null where there is no /proc to ask. */
  readonly worker_rss_bytes: {
    readonly before: number;
    /** At most until all were open again. */
    readonly recovering_peak: number;
    /** At most until all were delivered, as any backlog is. */
    readonly delivering_peak: number;
  } | null;
  readonly redis_used_memory_bytes_max: number;
  readonly longest_statement: { readonly ms: number; readonly statement: string };
}

process.exitCode = await runBenchmark(IS_QUICK ? 'recovery-quick' : 'recovery', run);

async function run(signal: AbortSignal): Promise<object | null> {
  const result = await measure(signal);
  if (result === null) return null;
  const { worker_rss_bytes: memory } = result;
  const met = {
    redis: result.redis_used_memory_bytes_max < TARGET.redis_bytes,
    worker: memory && memory.recovering_peak - memory.before < TARGET.worker_growth_bytes,
  };
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const say = (isMet: boolean | null) => (isMet === null ? 'unknown' : isMet ? 'met' : 'missed');
  console.log(
    `recovery of ${result.deliveries}: counted in ${result.call_seconds} s, all open again after ${result.reopened_seconds} s;` +
      ` resumed, all delivered after ${result.delivered_seconds} s`,
  );
  console.log(
    memory === null
      ? "recovery, worker's memory: unknown on this system"
      : `recovery, worker's memory: ${mib(memory.before)} before, at most ${mib(memory.recovering_peak)} until all were open` +
          ` (target < 64 MiB more: ${say(met.worker)}), ${mib(memory.delivering_peak)} until all were delivered`,
  );
  console.log(
    `recovery, Redis memory: at most ${mib(result.redis_used_memory_bytes_max)} (target < 64 MiB: ${say(met.redis)})`,
  );
  const { ms, statement } = result.longest_statement;
  console.log(`recovery, longest statement seen: ${ms} ms (${statement} …)`);
  return { target: { ...TARGET, met }, result };
}

/** @returns null, and says so, when there is no Redis */
async function measure(signal: AbortSignal): Promise<Measured | null> {
  await using parts = new AsyncDisposableStack();
  const installation = await startInstallation('redis', DATA_PARENT, { worker: 'later' });
  const redisUrl = installation?.redisUrl ?? null;
  if (installation === null || redisUrl === null) {
    console.log('skipped: there is neither REDIS_URL nor a redis-server on the PATH');
    return null;
  }
  parts.defer(() => installation.stop());
  const receiver = await CrowdReceiver.listen('answers');
  parts.defer(() => receiver.close());
  const database = connectDatabase(installation.databaseUrl, 2);
  parts.defer(() => database.$disconnect());
  const client = new ApiClient(installation.url, installation.platformKey);

  const newWebhook = async (deliveries: number): Promise<string> => {
    const merchantId = await client.newMerchant();
    const { id } = await client.newWebhook(merchantId, receiver.url(String(deliveries)));
    const endpointIds = [parseId('wh', id) ?? ''];
    await seedFinal(database, {
      merchantId: parseId('mrc', merchantId) ?? '',
      endpointIds,
      events: deliveries,
    });
    return id;
  };
  const large = await newWebhook(DELIVERIES);
  const small = await newWebhook(WARM_UP_DELIVERIES);
  await database.$executeRawUnsafe('VACUUM (ANALYZE) deliveries, events');
  await database.$executeRawUnsafe('CHECKPOINT');
  console.log(`${DELIVERIES} failed deliveries of one webhook, seeded`);

  const { pid } = await installation.startWorker();
  const warmUp = new RecoveryRun(client, small, receiver, signal);
  await warmUp.reopen();
  await warmUp.deliver(WARM_UP_DELIVERIES);
  await resetPeak(pid);
  const before = await processMemory(pid);
  const memory = new RedisMemory(redisUrl);
  parts.defer(() => memory.stop());
  const watch = await StatementWatch.start(installation.databaseUrl);
  parts.defer(() => watch.stop());
  const run = new RecoveryRun(client, large, receiver, signal);
  const reopening = await run.reopen();
  const recovering = await processMemory(pid);
  const delivered_seconds = await run.deliver(WARM_UP_DELIVERIES + DELIVERIES);
  const delivering = await processMemory(pid);
  return {
    deliveries: DELIVERIES,
    ...reopening,
    delivered_seconds,
    worker_rss_bytes: before &&
      recovering &&
      delivering && {
        before: before.nowBytes,
        recovering_peak: recovering.peakBytes,
        delivering_peak: delivering.peakBytes,
      },
    redis_used_memory_bytes_max: memory.bytesMax,
    longest_statement: watch.longest,
  };
}
