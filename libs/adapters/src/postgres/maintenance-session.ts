import pg from 'pg';
import { LOCK_TIMEOUT_MS } from './partitions.js';

/** A session of its own, for what a pool's shared ones cannot do: hold a lock across statements, detach a partition. */
export type MaintenanceSession = Pick<pg.Client, 'query'>;

/** Opens sessions for maintenance, and lets one at a time of each kind of work do it, in all processes. */
export class MaintenanceSessions {
  readonly #databaseUrl: string;

  constructor(databaseUrl: string) {
    this.#databaseUrl = databaseUrl;
  }

  /**
   * Does the work unless another process is doing it. The lock is the session's: it is free again as soon as its holder has
   * ended, however that ends.
   *
   * @param lock any number that nothing else in the database uses
   * @returns what the work gives; null when it was not done
   */
  async alone<Result>(
    lock: bigint,
    work: (session: MaintenanceSession) => Promise<Result>,
  ): Promise<Result | null> {
    const client = new pg.Client({
      connectionString: this.#databaseUrl,
      application_name: 'posthorn maintenance',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
      keepAlive: true,
    });
    // A session that breaks between two statements would end the process; the next statement tells it.
    client.on('error', () => undefined);
    await client.connect();
    try {
      const { rows } = await client.query<{ is_mine: boolean }>(
        'SELECT pg_try_advisory_lock($1) AS is_mine',
        [String(lock)],
      );
      return rows[0]?.is_mine === true ? await work(client) : null;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

const CONNECT_TIMEOUT_MS = 5_000;
/** Dropping a day of a large log frees its files one after the other. */
const STATEMENT_TIMEOUT_MS = 60_000;
