import pg from 'pg';
import { ConnectionPool, type ConnectionPoolConfig } from './connection-pool.js';
import { type OrderedStatements, poolSettings, type Statements } from './database.js';
import { Prisma } from './generated/client.js';
import { PipelinedConnection } from './pipelined-connection.js';
import { StatementNames } from './statement-names.js';

/**
 * Where the statements of the pipeline run: on the driver itself, over connections of their own, so that no list that
 * somebody asks for keeps a commit waiting. They are written as everywhere, with Prisma's `sql`.
 *
 * Each is planned once a connection and never by the statistics of tables that fill and empty by the second: by index, also
 * where the table seems to be small at that moment.
 */
export class PipelineStatements implements OrderedStatements {
  readonly inOrder: Statements;
  readonly #pool: ConnectionPool;
  readonly #connection: PipelinedConnection;
  readonly #onPool: DriverStatements;

  /**
   * @param databaseUrl a `postgres://` URL
   * @param connectionsMax upper bound of the pool; the connection of what runs in order is one more
   */
  constructor(databaseUrl: string, connectionsMax: number) {
    const config: ConnectionPoolConfig = {
      ...poolSettings(databaseUrl, connectionsMax),
      onConnect: async (client) => {
        await client.query(PLANNING);
      },
    };
    const names = new StatementNames();
    const pool = new ConnectionPool(config);
    // An idle connection that breaks is replaced by the next statement; the driver would end the process for it.
    pool.on('error', () => undefined);
    const connection = new PipelinedConnection(config);
    this.inOrder = new DriverStatements((query) => connection.query(query), names);
    this.#onPool = new DriverStatements((query) => pool.query(query), names);
    this.#pool = pool;
    this.#connection = connection;
  }

  $queryRaw<Rows>(query: TemplateStringsArray | Prisma.Sql, ...values: readonly unknown[]): Promise<Rows> {
    return this.#onPool.$queryRaw<Rows>(query, ...values);
  }

  $executeRaw(query: TemplateStringsArray | Prisma.Sql, ...values: readonly unknown[]): Promise<number> {
    return this.#onPool.$executeRaw(query, ...values);
  }

  /** Resolves once what is under way has ended and every connection is closed. */
  async close(): Promise<void> {
    await Promise.all([this.#pool.end(), this.#connection.close()]);
  }
}

/** Prisma's `sql` on the driver. */
class DriverStatements implements Statements {
  constructor(
    private readonly run: (query: pg.QueryConfig) => Promise<pg.QueryResult>,
    private readonly names: StatementNames,
  ) {}

  /** The rows, with `bigint` for PostgreSQL's. @throws {Error} with the SQLSTATE or a network code as `code` */
  async $queryRaw<Rows>(
    query: TemplateStringsArray | Prisma.Sql,
    ...values: readonly unknown[]
  ): Promise<Rows> {
    return (await this.run(this.toQuery(query, values))).rows as Rows;
  }

  /** How many rows the last part of the statement wrote. @throws as {@link $queryRaw} */
  async $executeRaw(
    query: TemplateStringsArray | Prisma.Sql,
    ...values: readonly unknown[]
  ): Promise<number> {
    return (await this.run(this.toQuery(query, values))).rowCount ?? 0;
  }

  private toQuery(query: TemplateStringsArray | Prisma.Sql, values: readonly unknown[]): pg.QueryConfig {
    const sql = 'raw' in query ? Prisma.sql(query, ...values) : query;
    const { text } = sql;
    return { name: this.names.of({ sql: text }), text, values: sql.values, types: TYPES };
  }
}

/**
 * `force_generic_plan`: arrays of any length get the same plan, and none is planned a second time. `enable_seqscan`: every
 * statement of the pipeline looks rows up by an index; a table of open deliveries that was empty when it was last looked
 * at has room for a million dead ones. `enable_bitmapscan`: who wants the oldest few by an index gets them in its order, and
 * never by reading and sorting all that is due.
 */
const PLANNING =
  'SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off';

/** As Prisma reads them: the driver leaves 64-bit integers as text. */
const TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid: Oid, format?: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8 ? BigInt : (pg.types.getTypeParser(oid, format) as Parser),
};

type Oid = (typeof pg.types.builtins)[keyof typeof pg.types.builtins];
type Parser = (text: string) => unknown;
