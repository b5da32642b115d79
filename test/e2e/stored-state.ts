import pg from 'pg';
import { eventually } from '#testkit/eventually.js';

/** Everything that a call can change, and that nothing changes by itself while no delivery is under way. */
const TABLES = [
  'merchants',
  'merchant_erasures',
  'api_keys',
  'endpoints',
  'endpoint_secrets',
  'endpoint_gates',
  'endpoint_sequences',
  'event_types',
  'event_type_catalogue',
  'event_redactions',
  'idempotency_keys',
  'recoveries',
  'events',
  'deliveries',
  'open_deliveries',
  'attempts',
  'audit_log',
] as const;

/** Where something else goes on writing: the audit log is sealed soon after each call, a key's last use noted. */
const WRITTEN_BY_CALLS: Readonly<Record<string, string>> = {
  api_keys: "(SELECT to_jsonb(k) - 'last_used_at' FROM api_keys k)",
  audit_log: '(SELECT id, payload FROM audit_log)',
};

const SETTLE_TIMEOUT_MS = 20_000;

/** Looks into an installation's database, to tell whether a refused call has changed anything. */
export class StoredState {
  readonly #pool: pg.Pool;

  constructor(databaseUrl: string) {
    this.#pool = new pg.Pool({ connectionString: databaseUrl, max: 2, application_name: 'stored state' });
  }

  /** Rows and a hash over them for each table: equal when nothing was written in between. */
  async digest(): Promise<Readonly<Record<string, string>>> {
    const { rows } = await this.#pool.query<{ name: string; digest: string }>(
      TABLES.map(
        (table) =>
          `SELECT '${table}' AS name, count(*) || ' ' || coalesce(md5(string_agg(r::text, '' ORDER BY r::text)), '') AS digest FROM ${WRITTEN_BY_CALLS[table] ?? table} r`,
      ).join(' UNION ALL '),
    );
    return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
  }

  /** As {@link digest}, once no delivery is open any more: from then on only calls change anything. */
  async settledDigest(): Promise<Readonly<Record<string, string>>> {
    return eventually(async () => {
      const digest = await this.digest();
      if (digest['open_deliveries'] !== '0 ') throw new Error(`still open: ${digest['open_deliveries']}`);
      return digest;
    }, SETTLE_TIMEOUT_MS);
  }

  /** For what no call shows: the first column of a query's rows. */
  async values(sql: string, parameters: readonly unknown[]): Promise<unknown[]> {
    const { rows } = await this.#pool.query<unknown[]>({
      text: sql,
      values: [...parameters],
      rowMode: 'array',
    });
    return rows.map(([value]) => value);
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}
