import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../apps/standalone/src/embedded-postgres.js';
import { freeLoopbackPort } from '#adapters/postgres/embedded/loopback-port.js';
import { migrateDatabase } from '#foundation/migrate-database.js';
import { startRedis } from '#testkit/redis.js';
import { type ServiceProcess, startService } from './service-process.js';

export type QueueKind = 'redis' | 'postgres';

export interface Installation {
  readonly url: string;
  readonly platformKey: string;
  readonly databaseUrl: string;
  /** Null when the queue is on PostgreSQL. */
  readonly redisUrl: string | null;
  readonly apiPid: number;
  readonly workerPids: readonly number[];
  /** The first one, for an installation that was started without, or one more. */
  startWorker(): Promise<Pick<ServiceProcess, 'pid'>>;
  /** All that were started; another may be started after. */
  stopWorkers(): Promise<void>;
  /** Stops every process and removes the data. */
  stop(): Promise<void>;
}

/** `usual`: as V8 sizes it by itself. `small`: as `docker-compose.yml` starts its worker. */
export type WorkerHeap = 'usual' | 'small';

export interface InstallationOptions {
  readonly worker?: 'now' | 'later';
  readonly workerHeap?: WorkerHeap;
}

/** Node's arguments and the allocator's setting of a small heap. The second one does not limit the heap, only how lazily it is looked at. */
const SMALL_HEAP = {
  arguments: ['--max-semi-space-size=16', '--heap-growing-percent=30'],
  environment: { MALLOC_ARENA_MAX: '2' },
};

/**
 * One API and one worker, each a process of its own, on a new PostgreSQL with the settings that standalone ships (a commit
 * is on the disk before it is answered), and on a Redis unless the queue is to run on PostgreSQL.
 *
 * @param options `worker`: `later` leaves it to the caller to start it
 * @param parentDirectory where the data go while it runs; on the disk that is to be measured
 * @returns null when a Redis is wanted and there is neither REDIS_URL nor a `redis-server` on the PATH
 */
export async function startInstallation(
  queue: QueueKind,
  parentDirectory: string,
  options: InstallationOptions = {},
): Promise<Installation | null> {
  await using parts = new AsyncDisposableStack();
  await mkdir(parentDirectory, { recursive: true });
  const directory = await mkdtemp(join(parentDirectory, 'bench-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  const postgres = await startEmbeddedPostgres({ dataDir: join(directory, 'data'), log: () => undefined });
  parts.defer(() => postgres.stop());
  const redis = queue === 'redis' ? await startRedis() : undefined;
  if (redis === null) return null;
  if (redis !== undefined) parts.defer(() => redis.stop());
  await migrateDatabase(postgres.databaseUrl, () => undefined);
  const platformKey = `bench_${randomBytes(24).toString('hex')}`;
  const environment = {
    HOST: '127.0.0.1',
    DATABASE_URL: postgres.databaseUrl,
    ...(redis === undefined ? {} : { REDIS_URL: redis.url }),
    POSTHORN_PLATFORM_KEY: platformKey,
    POSTHORN_ENCRYPTION_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    POSTHORN_ALLOW_HTTP: 'true',
    POSTHORN_EGRESS_ALLOW: '127.0.0.0/8',
    LOG_LEVEL: 'warn',
  };
  const port = String(await freeLoopbackPort());
  const api = await startService('apps/api/src/main.js', { ...environment, PORT: port });
  parts.defer(() => api.stop());
  const workers: ServiceProcess[] = [];
  const startWorker = async (): Promise<ServiceProcess> => {
    const workerPort = String(await freeLoopbackPort());
    const heap = options.workerHeap === 'small' ? SMALL_HEAP : { arguments: [], environment: {} };
    const worker = await startService(
      'apps/worker/src/main.js',
      { ...environment, ...heap.environment, PORT: workerPort },
      heap.arguments,
    );
    started.defer(() => worker.stop());
    workers.push(worker);
    return worker;
  };
  const started = parts.move();
  try {
    if (options.worker !== 'later') await startWorker();
  } catch (error) {
    await started.disposeAsync();
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}`,
    platformKey,
    databaseUrl: postgres.databaseUrl,
    redisUrl: redis?.url ?? null,
    apiPid: api.pid,
    get workerPids() {
      return workers.map(({ pid }) => pid);
    },
    startWorker,
    stopWorkers: async () => {
      await Promise.all(workers.splice(0).map((worker) => worker.stop()));
    },
    stop: () => started.disposeAsync(),
  };
}
