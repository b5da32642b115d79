import pg from 'pg';
import { FAST_SLOTS, SLOW_SLOTS } from '#pipeline/in-flight.js';

/** What merchant A has of a worker's slots, and merchant B beside it, at a moment after the start. */
export interface SlotSample {
  readonly at_seconds: number;
  readonly a_in_flight: number;
  /** Of all slots of both lanes. */
  readonly a_share_of_slots: number;
  readonly b_in_flight: number;
  readonly a_endpoints_slow: number;
  readonly a_breakers_open: number;
}

const SAMPLE_MS = 1_000;

/** Reads once a second what the gates say is in flight. */
export class SlotSampler {
  readonly #client: pg.Client;
  readonly #startedMs = performance.now();
  readonly #samples: SlotSample[] = [];
  readonly #timer: NodeJS.Timeout;
  #reading: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(client: pg.Client) {
    this.#client = client;
    this.#timer = setInterval(() => {
      this.#reading = this.#reading.then(() => this.#read());
    }, SAMPLE_MS);
  }

  static async start(databaseUrl: string): Promise<SlotSampler> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    return new SlotSampler(client);
  }

  get samples(): readonly SlotSample[] {
    return this.#samples;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#reading;
    await this.#client.end();
  }

  async #read(): Promise<void> {
    const { rows } = await this.#client.query<Omit<SlotSample, 'at_seconds' | 'a_share_of_slots'>>(`
      SELECT sum(g.in_flight) FILTER (WHERE m.name = 'A')::int AS a_in_flight,
             sum(g.in_flight) FILTER (WHERE m.name = 'B')::int AS b_in_flight,
             count(*) FILTER (WHERE m.name = 'A' AND g.lane = 'slow')::int AS a_endpoints_slow,
             count(*) FILTER (WHERE m.name = 'A' AND g.breaker_state = 'open')::int AS a_breakers_open
      FROM endpoint_gates g JOIN merchants m ON m.id = g.merchant_id`);
    const [row] = rows;
    if (row === undefined) return;
    this.#samples.push({
      at_seconds: Math.round((performance.now() - this.#startedMs) / 100) / 10,
      ...row,
      a_share_of_slots: Math.round((row.a_in_flight / (FAST_SLOTS + SLOW_SLOTS)) * 1_000) / 1_000,
    });
  }
}
