import pg from 'pg';

/** Everything that a call can change, and that nothing changes by itself while no delivery is under way. */
const TABLES = [
  'merchants',
  'api_keys',
  'endpoints',
  'endpoint_secrets',
  'endpoint_gates',
  'endpoint_sequences',
  'event_types',
  'idempotency_keys',
  'recoveries',
  'events',
  'deliveries',
  'open_deliveries',
  'attempts',
  'audit_log',
] as const;

/** Looks into an installation's database, to tell whether a refused call has changed anything. */
export class StoredState {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async of(databaseUrl: string): Promise<StoredState> {
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'stored state' });
    await client.connect();
    return new StoredState(client);
  }

  /** Rows and a hash over them for each table: equal when nothing was written in between. */
  async digest(): Promise<Readonly<Record<string, string>>> {
    const { rows } = await this.#client.query<{ name: string; digest: string }>(
      TABLES.map(
        (table) =>
          `SELECT '${table}' AS name, count(*) || ' ' || coalesce(md5(string_agg(r::text, '' ORDER BY r::text)), '') AS digest FROM ${table} r`,
      ).join(' UNION ALL '),
    );
    return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
  }

  /** For what no call shows: the first column of a query's rows. */
  async values(sql: string, parameters: readonly unknown[]): Promise<unknown[]> {
    const { rows } = await this.#client.query<unknown[]>({ text: sql, values: [...parameters], rowMode: 'array' });
    return rows.map(([value]) => value);
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}
