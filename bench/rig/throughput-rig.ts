import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { ChildProgram } from './child-program.js';
import {
  type Installation,
  type InstallationOptions,
  type QueueKind,
  startInstallation,
} from './installation.js';
import { cpuUs, parentOf, peakRssBytes } from './process-usage.js';
import { Producer } from './producer.js';
import type { LoadCalls, Posted } from './programs/load.js';
import type { ReceiverCalls } from './programs/receiver.js';
import { DATA_PARENT } from './run.js';

/** What one event costs each process; CPU in microseconds. */
export interface Cost {
  readonly cpu_us_per_event: Readonly<Record<string, number>>;
  readonly wal_bytes_per_event: number;
  /** What stays in Redis when the event is done. */
  readonly redis_bytes_per_event: number;
}

export interface Passed extends Posted {
  /** Deliveries that were settled in PostgreSQL, by the second, from the first post to the last settle. */
  readonly deliveriesPerSecond: number;
  readonly cost: Cost;
}

const LOOK_MS = 50;
/** Counting a backlog costs PostgreSQL something. */
const LOOK_OPEN_MS = 500;
const DRAIN_WARM_UP_MS = 2_000;
/** A run that has not ended by then has broken down. */
const SETTLED_TIMEOUT_MS = 120_000;
/** About a second's work: enough that no part ever waits for another, little enough that a run ends soon after its last post. */
const WAITING_MAX = 2_000;
/** The whole of what may be in flight to one endpoint: the limit is not what is measured. */
const MAX_IN_FLIGHT = 1_000;

/** An installation with a receiver and a load generator, each a process of its own. */
export class ThroughputRig {
  readonly #parts: AsyncDisposableStack;

  private constructor(
    readonly installation: Installation,
    readonly receiver: ChildProgram<ReceiverCalls>,
    readonly receiverUrl: string,
    private readonly load: ChildProgram<LoadCalls>,
    private readonly database: pg.Client,
    private readonly redis: Redis | null,
    private readonly producer: Producer,
    private readonly pids: Readonly<Record<string, number>>,
    parts: AsyncDisposableStack,
  ) {
    this.#parts = parts;
  }

  /** @returns null when a Redis is wanted and there is none */
  static async start(
    queue: QueueKind,
    { receiverDelayMs = 0, ...options }: InstallationOptions & { readonly receiverDelayMs?: number } = {},
  ): Promise<ThroughputRig | null> {
    await using parts = new AsyncDisposableStack();
    const installation = await startInstallation(queue, DATA_PARENT, options);
    if (installation === null) return null;
    parts.defer(() => installation.stop());
    const receiver = new ChildProgram<ReceiverCalls>('receiver');
    parts.defer(() => receiver.stop());
    const receiverUrl = await receiver.call('listen', { delayMs: receiverDelayMs });
    const load = new ChildProgram<LoadCalls>('load');
    parts.defer(() => load.stop());
    const database = new pg.Client({ connectionString: installation.databaseUrl });
    await database.connect();
    parts.defer(() => database.end());
    const producer = new Producer(installation.url, installation.platformKey);
    parts.defer(() => producer.close());
    const redis = installation.redisUrl === null ? null : new Redis(installation.redisUrl);
    parts.defer(() => redis?.disconnect());
    const { rows } = await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pids: Record<string, number> = {
      api: installation.apiPid,
      postgres: parentOf(rows[0]?.pid ?? 0) ?? 0,
      load: load.pid,
      receiver: receiver.pid,
    };
    if (redis !== null)
      pids['redis'] = Number(/^process_id:(\d+)/m.exec(await redis.info('server'))?.[1] ?? 0);
    return new ThroughputRig(
      installation,
      receiver,
      receiverUrl,
      load,
      database,
      redis,
      producer,
      pids,
      parts.move(),
    );
  }

  async stop(): Promise<void> {
    await this.#parts.disposeAsync();
  }

  /** @returns the merchant's id */
  async addMerchant(endpoints: number, url = this.receiverUrl): Promise<string> {
    const { answer: merchant } = await this.producer.post('/v1/merchants', { name: 'throughput' });
    for (let index = 0; index < endpoints; index += 1) {
      const webhook = {
        merchant_id: merchant.id,
        url: `${url}${index}`,
        events: ['*'],
        max_in_flight: MAX_IN_FLIGHT,
      };
      await this.producer.post('/v1/webhooks', webhook);
    }
    return merchant.id;
  }

  /** @returns the ids of so many merchants with one endpoint each */
  async addMerchants(count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let added = 0; added < count; added += 1) ids.push(await this.addMerchant(1));
    return ids;
  }

  /** Posts for so long, and waits until every delivery is settled. */
  async pass(
    merchantIds: readonly string[],
    options: {
      readonly seconds: number;
      readonly batch?: number;
      readonly deliveriesPerEvent?: number;
      readonly eventsPerSecond?: number;
    },
  ): Promise<Passed> {
    const { deliveriesPerEvent = 1, batch = 1, ...rest } = options;
    const before = await this.#snapshot();
    const startedMs = performance.now();
    const receivedBefore = await this.receiver.call('received', null);
    const watching = new AbortController();
    const watch = this.#tellArrivals(receivedBefore, watching.signal);
    const posted = await this.#post(merchantIds, {
      ...rest,
      batch,
      deliveriesPerEvent,
      waitingMax: WAITING_MAX,
    });
    watching.abort();
    await watch;
    await this.settled();
    const seconds = (performance.now() - startedMs) / 1_000;
    const cost = costOf(before, await this.#snapshot(), posted.events);
    return { ...posted, deliveriesPerSecond: (posted.events * deliveriesPerEvent) / seconds, cost };
  }

  /** Posts for so long, and waits for nothing. */
  async ingest(merchantIds: readonly string[], seconds: number, batch: number): Promise<Posted> {
    return this.#post(merchantIds, { seconds, batch });
  }

  /** Starts a worker on what waits, which is to last, and measures for so long. Its start is not counted. */
  async drain(seconds: number): Promise<number> {
    await this.installation.startWorker();
    const receivedBefore = await this.receiver.call('received', null);
    while ((await this.receiver.call('received', null)) === receivedBefore) await delay(LOOK_MS);
    // Code is compiled, and the queue's bound finds its place.
    await delay(DRAIN_WARM_UP_MS);
    const [before, startedMs] = [await this.#openCount(), performance.now()];
    if (before === 0) throw new Error('the backlog was over before its time: nothing was measured');
    let [after, lookedMs] = [before, startedMs];
    while (after > 0 && lookedMs < startedMs + seconds * 1_000) {
      await delay(Math.min(LOOK_OPEN_MS, startedMs + seconds * 1_000 - lookedMs));
      [after, lookedMs] = [await this.#openCount(), performance.now()];
    }
    return (before - after) / ((lookedMs - startedMs) / 1_000);
  }

  /** Resolves once every delivery is final. */
  async settled(): Promise<void> {
    const deadlineMs = performance.now() + SETTLED_TIMEOUT_MS;
    while ((await this.#openCount()) > 0) {
      if (performance.now() > deadlineMs)
        throw new Error('deliveries are still open: the run has broken down');
      await delay(LOOK_MS);
    }
  }

  /** Attempts that are leased now, of all endpoints. */
  async inFlight(): Promise<number> {
    const { rows } = await this.database.query<{ count: number }>(
      'SELECT coalesce(sum(in_flight), 0)::int AS count FROM endpoint_gates',
    );
    return rows[0]?.count ?? Number.NaN;
  }

  /** Deliveries that did not succeed, and events without their deliveries: 0, or the measure is worth nothing. */
  async lost(): Promise<number> {
    const { rows } = await this.database.query<{ lost: number }>(
      `SELECT ((SELECT count(*) FROM deliveries WHERE status <> 'succeeded')
             + (SELECT coalesce(sum(delivery_count), 0) FROM events) - (SELECT count(*) FROM deliveries))::int AS lost`,
    );
    return rows[0]?.lost ?? Number.NaN;
  }

  /** By process, in bytes: the most resident; of PostgreSQL the largest of its processes, shared memory included. */
  peakRss(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.#allPids()).map(([name, pid]) => [name, peakRssBytes(pid)]),
    );
  }

  /**
   * What Redis holds for each event that waits in it while no worker runs; null without a Redis.
   *
   * @param ingest accepts events; only some of them are hinted, the others wait in PostgreSQL
   */
  async redisBytesPerWaiting(ingest: () => Promise<unknown>): Promise<number | null> {
    const before = await this.#redisBytes();
    await ingest();
    if (this.redis === null) return null;
    const { rows } = await this.database.query<{ hinted: number }>(
      'SELECT count(*)::int AS hinted FROM open_deliveries WHERE hinted_until > now()',
    );
    return Math.round(((await this.#redisBytes()) - before) / (rows[0]?.hinted ?? 0));
  }

  async #redisBytes(): Promise<number> {
    if (this.redis === null) return 0;
    return Number(/^used_memory:(\d+)/m.exec(await this.redis.info('memory'))?.[1]);
  }

  #post(
    merchantIds: readonly string[],
    options: Omit<Parameters<LoadCalls['run']>[0], 'url' | 'platformKey' | 'merchantIds'>,
  ): Promise<Posted> {
    const { url, platformKey } = this.installation;
    return this.load.call('run', { url, platformKey, merchantIds, ...options });
  }

  async #tellArrivals(before: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.load.call('arrived', (await this.receiver.call('received', null)) - before);
      await delay(LOOK_MS);
    }
  }

  async #openCount(): Promise<number> {
    const { rows } = await this.database.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM open_deliveries',
    );
    return rows[0]?.count ?? Number.NaN;
  }

  #allPids(): Record<string, number> {
    const workers = this.installation.workerPids.map((pid, index): [string, number] => [
      index === 0 ? 'worker' : `worker ${index + 1}`,
      pid,
    ]);
    return { ...this.pids, ...Object.fromEntries(workers) };
  }

  async #snapshot(): Promise<Snapshot> {
    const { rows } = await this.database.query<{ bytes: string }>(
      "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS bytes",
    );
    const cpu = Object.entries(this.#allPids()).map(([name, pid]): [string, number] => [name, cpuUs(pid)]);
    return {
      walBytes: Number(rows[0]?.bytes),
      cpuUs: Object.fromEntries(cpu),
      redisBytes: await this.#redisBytes(),
    };
  }
}

interface Snapshot {
  readonly walBytes: number;
  readonly redisBytes: number;
  readonly cpuUs: Readonly<Record<string, number>>;
}

function costOf(before: Snapshot, after: Snapshot, events: number): Cost {
  const cpu = Object.entries(after.cpuUs).map(([name, us]): [string, number] => [
    name,
    Math.round((us - (before.cpuUs[name] ?? 0)) / events),
  ]);
  return {
    cpu_us_per_event: Object.fromEntries(cpu),
    wal_bytes_per_event: Math.round((after.walBytes - before.walBytes) / events),
    redis_bytes_per_event: Math.round((after.redisBytes - before.redisBytes) / events),
  };
}
