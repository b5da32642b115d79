import type pg from 'pg';
import { CodedClient, type ConnectionPoolConfig, withConnectCode } from './connection-pool.js';

/**
 * One connection for statements that are to run one after the other. Each is sent at once and begins as soon as the one
 * before it has committed, however busy this process is at that moment; one that fails does not concern the next.
 *
 * A connection that breaks takes with it what was sent on it, and is replaced by the next statement.
 */
export class PipelinedConnection {
  #client: Promise<pg.Client> | null = null;

  constructor(private readonly config: ConnectionPoolConfig) {}

  /** @throws {Error} with the SQLSTATE or a network code as `code` */
  async query(query: pg.QueryConfig): Promise<pg.QueryResult> {
    const client = await (this.#client ??= this.#connect());
    return client.query(query);
  }

  /** Resolves once what was sent has been answered and the connection is closed. */
  async close(): Promise<void> {
    const client = await this.#client?.catch(() => null);
    await client?.end();
  }

  #connect(): Promise<pg.Client> {
    const { onConnect, ...settings } = this.config;
    const client = new CodedClient({ ...settings, pipeline: true });
    const connecting = withConnectCode(client.connect())
      .then(() => onConnect?.(client))
      .then(() => client);
    const forget = (): void => {
      if (this.#client === connecting) this.#client = null;
    };
    // Whoever waits for an answer is told by it; without a listener the driver would end the process.
    client.on('error', forget);
    client.on('end', forget);
    connecting.catch(() => {
      forget();
      void client.end();
    });
    return connecting;
  }
}
