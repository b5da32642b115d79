import {
  createPostgresBackend,
  Queue,
  runMigrations,
  setDefaultBackendFactory,
  type ConnectionOptions,
} from 'bullmq';
import pg from 'pg';
import type { Lane } from '#pipeline/hint-queue.js';

/** BullMQ's name of each lane's queue. */
export const QUEUE_OF_LANE: Readonly<Record<Lane, string>> = {
  fast: 'deliveries',
  slow: 'deliveries-slow',
  suspect: 'deliveries-suspect',
};

/** How a process reaches the queues: Redis where there is a `REDIS_URL`, else PostgreSQL. */
export interface QueueConnection {
  readonly kind: 'redis' | 'postgres';
  /** For processes that only add: every command is answered or given up in bounded time. */
  readonly producer: ConnectionOptions;
  /** For workers, whose connection waits for jobs as long as it takes. */
  readonly consumer: ConnectionOptions;
  /** Call once nothing uses the connection any more. */
  close(): Promise<void>;
}

/**
 * Chooses BullMQ's backend for this process. Queues and workers that are made afterwards, those that Nest makes
 * included, run on it.
 */
export function connectQueues({
  redisUrl,
  databaseUrl,
}: {
  readonly redisUrl: string | null;
  readonly databaseUrl: string;
}): QueueConnection {
  if (redisUrl === null) return postgresConnection(databaseUrl);
  setDefaultBackendFactory();
  return {
    kind: 'redis',
    producer: {
      url: redisUrl,
      // Without a live connection an add fails at once and the sweep takes over; with a stuck one it fails in time.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: PRODUCER_TIMEOUT_MS,
      connectTimeout: PRODUCER_TIMEOUT_MS,
      retryStrategy: reconnectWaitMs,
    },
    consumer: { url: redisUrl, maxRetriesPerRequest: null, retryStrategy: reconnectWaitMs },
    close: () => Promise.resolve(),
  };
}

function postgresConnection(databaseUrl: string): QueueConnection {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    // A pool that BullMQ is given cannot be told its schema any other way.
    options: `-c search_path=${QUEUE_SCHEMA}`,
    max: POSTGRES_CONNECTIONS_MAX,
    connectionTimeoutMillis: PRODUCER_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'posthorn-queue',
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => undefined);
  setDefaultBackendFactory(createPostgresBackend);
  const connection = pool as unknown as ConnectionOptions;
  return { kind: 'postgres', producer: connection, consumer: connection, close: () => pool.end() };
}

/** Makes or updates BullMQ's own tables; done with every migration, so that either backend can be chosen later. */
export async function migrateQueueTables(client: pg.Client): Promise<void> {
  await runMigrations(client, QUEUE_SCHEMA);
}

/** A queue to add to. Its errors reach whoever adds; the connection's own are not worth a line each. */
export function openQueue<Job>(connection: QueueConnection, lane: Lane): Queue<Job> {
  const queue = new Queue<Job>(QUEUE_OF_LANE[lane], {
    connection: connection.producer,
    defaultJobOptions: {
      // The schedule of retries is ours, not BullMQ's, and a kept job would swallow a later one of its id.
      attempts: 1,
      removeOnComplete: true,
      removeOnFail: true,
    },
  });
  queue.on('error', () => undefined);
  return queue;
}

/** BullMQ's tables live apart from ours. */
const QUEUE_SCHEMA = 'bullmq';
/** An add that takes this long has failed as far as the pipeline is concerned: the sweep is faster. */
export const PRODUCER_TIMEOUT_MS = 2_000;
/** Three queues and three workers, of which each listens on a connection of its own, and room for their commands. */
const POSTGRES_CONNECTIONS_MAX = 16;

/** Back quickly after a blink, and not in a storm after an outage. */
function reconnectWaitMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 6), 2_000);
}
