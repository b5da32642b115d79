import { PrismaPg } from '@prisma/adapter-pg';
import { ConnectionPool, type ConnectionPoolConfig } from './connection-pool.js';
import { type Prisma, PrismaClient } from './generated/client.js';
import { StatementNames } from './statement-names.js';

/**
 * A client of the database with a pool of its own.
 *
 * @param databaseUrl a `postgres://` URL
 * @param connectionsMax upper bound of the pool; a statement waits for a free connection at most {@link CONNECT_TIMEOUT_MS}
 */
export function connectDatabase(databaseUrl: string, connectionsMax: number): Database {
  const pool = new ConnectionPool(poolSettings(databaseUrl, connectionsMax));
  const names = new StatementNames();
  return new PrismaClient({
    adapter: new PrismaPg(pool, { disposeExternalPool: true, statementNameGenerator: names.of }),
  });
}

/** What every pool of connections has in common. */
export function poolSettings(databaseUrl: string, connectionsMax: number): ConnectionPoolConfig {
  return {
    connectionString: databaseUrl,
    max: connectionsMax,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    application_name: 'posthorn',
  };
}

/** Everything but pipeline statements goes through its models; those through {@link Statements}. */
export type Database = PrismaClient;

/** What a statement may run on: the pipeline's own connections, the database itself or a transaction on it. */
export interface Statements {
  $queryRaw<Rows>(query: TemplateStringsArray | Prisma.Sql, ...values: readonly unknown[]): Promise<Rows>;
  $executeRaw(query: TemplateStringsArray | Prisma.Sql, ...values: readonly unknown[]): Promise<number>;
}

/** The pipeline's own connections. */
export interface OrderedStatements extends Statements {
  /**
   * One connection, on which each statement begins when the one before it has committed. For what would otherwise wait for
   * another's locks, and then start over with the rows as they are by then.
   */
  readonly inOrder: Statements;
}

/** How long a caller waits for a connection before it is told that the database is away. */
const CONNECT_TIMEOUT_MS = 2_000;
/** Long enough to keep a pool warm between bursts, short enough to shrink after one. */
const IDLE_TIMEOUT_MS = 30_000;
/** No statement of ours needs a tenth of this; one that does is stuck and must not hold its connection. */
const STATEMENT_TIMEOUT_MS = 8_000;
/** The same from this side, for a server that is frozen or has vanished and so enforces nothing: it answers first if it can. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 1_000;
