import { setTimeout as delay } from 'node:timers/promises';
import { connectDatabase } from '#adapters/postgres/database.js';
import { parseId } from '#domain/ids.js';
import { ApiClient } from '#testkit/api-client.js';
import { seedFinal } from '#testkit/seed-final.js';
import { CrowdReceiver } from './rig/crowd-receiver.js';
import { startInstallation } from './rig/installation.js';
import { processMemory, resetPeak } from './rig/process-memory.js';
import { RedisMemory } from './rig/redis-memory.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { StatementWatch } from './rig/statement-watch.js';

const IS_QUICK = process.argv.includes('--quick');
const DELIVERIES = IS_QUICK ? 10_000 : 100_000;

const TARGET = { redis_bytes: 64 * 1024 * 1024, worker_growth_bytes: 64 * 1024 * 1024 } as const;

/** The worker's code is compiled and its connections are made before its memory is looked at. */
const WARM_UP_DELIVERIES = 2_000;
const POLL_MS = 100;
/** Far more than any machine takes. */
const GIVE_UP_MS = 15 * 60_000;

interface Measured {
  readonly deliveries: number;
  /** The POST, which counts. */
  readonly call_seconds: number;
  /** Until all were open again. */
  readonly reopened_seconds: number;
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
  const warmUp = new Run(client, small, receiver, signal);
  await warmUp.reopen();
  await warmUp.deliver(WARM_UP_DELIVERIES);
  await resetPeak(pid);
  const before = await processMemory(pid);
  const memory = new RedisMemory(redisUrl);
  parts.defer(() => memory.stop());
  const watch = await StatementWatch.start(installation.databaseUrl);
  parts.defer(() => watch.stop());
  const run = new Run(client, large, receiver, signal);
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

/** The recovery of one webhook, held until all of it is open: what opening costs is told apart from what a backlog does. */
class Run {
  constructor(
    private readonly client: ApiClient,
    private readonly webhookId: string,
    private readonly receiver: CrowdReceiver,
    private readonly signal: AbortSignal,
  ) {}

  async reopen(): Promise<Pick<Measured, 'call_seconds' | 'reopened_seconds'>> {
    await this.client.patch(`/v1/webhooks/${this.webhookId}`, { status: 'paused' });
    const startedMs = performance.now();
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const made = await this.client.post(`/v1/webhooks/${this.webhookId}/recoveries`, { since });
    if (made.status !== 202) throw new Error(`answered ${made.status} ${made.text}`);
    const call_seconds = secondsSince(startedMs);
    const path = `/v1/recoveries/${String(made.body['id'])}`;
    await this.until(async () => (await this.client.get(path)).body['status'] === 'completed');
    return { call_seconds, reopened_seconds: secondsSince(startedMs) };
  }

  /** @returns seconds */
  async deliver(requestsAfter: number): Promise<number> {
    const startedMs = performance.now();
    await this.client.patch(`/v1/webhooks/${this.webhookId}`, { status: 'enabled' });
    await this.until(() => this.receiver.requests >= requestsAfter);
    return secondsSince(startedMs);
  }

  private async until(isReached: () => boolean | Promise<boolean>): Promise<void> {
    const giveUpMs = performance.now() + GIVE_UP_MS;
    while (!(await isReached())) {
      if (performance.now() > giveUpMs) throw new Error('the recovery did not come to its end');
      await delay(POLL_MS, undefined, { signal: this.signal });
    }
  }
}

function secondsSince(startedMs: number): number {
  return Math.round((performance.now() - startedMs) / 100) / 10;
}
