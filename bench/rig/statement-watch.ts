import pg from 'pg';

const SAMPLE_MS = 10;

/** Watches how long the statements of Posthorn's processes have been running, by PostgreSQL's own account. */
export class StatementWatch {
  readonly #client: pg.Client;
  readonly #timer: NodeJS.Timeout;
  #reading: Promise<void> | null = null;
  #longestMs = 0;
  #longest = '';

  private constructor(client: pg.Client) {
    this.#client = client;
    this.#timer = setInterval(() => {
      // A sample that takes longer is not followed by two at once.
      this.#reading ??= this.#read().finally(() => {
        this.#reading = null;
      });
    }, SAMPLE_MS);
  }

  static async start(databaseUrl: string): Promise<StatementWatch> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    return new StatementWatch(client);
  }

  /** The longest that any was seen to run, in milliseconds, and how it begins. */
  get longest(): { readonly ms: number; readonly statement: string } {
    return { ms: Math.round(this.#longestMs), statement: this.#longest };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#reading;
    await this.#client.end();
  }

  async #read(): Promise<void> {
    const { rows } = await this.#client.query<{ ms: number; statement: string }>(`
      SELECT extract(epoch FROM clock_timestamp() - query_start)::float8 * 1000 AS ms,
             left(regexp_replace(query, '\\s+', ' ', 'g'), 60) AS statement
      FROM pg_stat_activity WHERE application_name = 'posthorn' AND state = 'active'
      ORDER BY query_start LIMIT 1`);
    const [row] = rows;
    if (row === undefined || row.ms <= this.#longestMs) return;
    this.#longestMs = row.ms;
    this.#longest = row.statement.trim();
  }
}
