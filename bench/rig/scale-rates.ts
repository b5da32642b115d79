import type pg from 'pg';
import { uuidFloor } from '#domain/ids.js';
import type { ChildProgram } from './child-program.js';
import type { CeilingCalls } from './programs/ceiling.js';
import { emptyLog } from './scale-seed.js';
import type { ThroughputRig } from './throughput-rig.js';

const BATCH = 100;
const API_WARM_UP_SECONDS = 3;
/** The API knows the database's clock better than this, and between the events of two rounds is more. */
const CLOCK_SLACK_MS = 1_000;
export const MEASURES = ['ingest', `ingest in batches of ${BATCH}`, 'drain'] as const;
export type Measure = (typeof MEASURES)[number];

/** A rate, and the ceiling's that was measured right before it. */
export interface Rate {
  readonly per_second: number;
  readonly ceiling_per_second: number;
  readonly ratio: number;
}
export type Rates = Readonly<Record<Measure, readonly Rate[]>>;
type Collected = Readonly<Record<Measure, Rate[]>>;

export interface RoundSizes {
  readonly rounds: number;
  readonly seconds: number;
  readonly ceilingSeconds: number;
  readonly warmUpSeconds: number;
}

/** Whose events are posted, and the one endpoint that gets them. */
export interface Target {
  readonly merchantId: string;
  readonly endpointUuid: string;
}

/** How fast events are accepted while no worker runs, and then delivered from what has piled up. */
export class ScaleRates {
  constructor(
    private readonly rig: ThroughputRig,
    private readonly ceiling: ChildProgram<CeilingCalls>,
    private readonly database: pg.Client,
    private readonly target: Target,
    private readonly sizes: RoundSizes,
    private readonly signal: AbortSignal,
  ) {}

  /** Code is compiled and connections are made: later rounds are not to look the better for it. Leaves the log empty. */
  async warmUp(): Promise<void> {
    await this.ceiling.call('run', { url: this.rig.receiverUrl, seconds: this.sizes.warmUpSeconds });
    for (const batch of [1, BATCH])
      await this.rig.ingest([this.target.merchantId], API_WARM_UP_SECONDS, batch);
    await emptyLog(this.database);
  }

  /**
   * @param log `empty`: every round begins on an empty log; `full`: on the one that is there
   * @throws Error when an event is lost, or a backlog is over before it was measured
   */
  async measure(log: 'empty' | 'full'): Promise<Rates> {
    const rates = Object.fromEntries(MEASURES.map((measure) => [measure, []])) as unknown as Collected;
    for (let round = 0; round < this.sizes.rounds; round += 1) {
      const fromId = await this.#begin();
      const accepted = await this.#round(rates);
      await this.rig.installation.stopWorkers();
      await this.#account(accepted, fromId);
      if (log === 'empty') await emptyLog(this.database);
      else await this.#removeRest(fromId);
    }
    return rates;
  }

  /** @returns what all ids from now on are above */
  async #begin(): Promise<string> {
    // So that none falls into the round.
    await this.database.query('CHECKPOINT');
    const { rows } = await this.database.query<{ ms: number }>(
      'SELECT extract(epoch FROM now())::float8 * 1000 AS ms',
    );
    return uuidFloor((rows[0]?.ms ?? Number.NaN) - CLOCK_SLACK_MS);
  }

  /** @returns how many events were accepted */
  async #round(rates: Collected): Promise<number> {
    const { rig, sizes } = this;
    const { merchantId } = this.target;
    let { events: accepted } = await rig.ingest([merchantId], sizes.warmUpSeconds, 1);
    const ingest = async (batch: number): Promise<number> => {
      const { events, seconds } = await rig.ingest([merchantId], sizes.seconds, batch);
      accepted += events;
      return events / seconds;
    };
    const works: Record<Measure, () => Promise<number>> = {
      ingest: () => ingest(1),
      [`ingest in batches of ${BATCH}`]: () => ingest(BATCH),
      drain: () => rig.drain(sizes.seconds),
    };
    for (const measure of MEASURES) {
      this.signal.throwIfAborted();
      const run = { url: rig.receiverUrl, seconds: sizes.ceilingSeconds };
      const ceilingRate = await this.ceiling.call('run', run);
      const rate = await works[measure]();
      rates[measure].push({
        per_second: Math.round(rate),
        ceiling_per_second: Math.round(ceilingRate),
        ratio: Math.round((rate / ceilingRate) * 10_000) / 10_000,
      });
    }
    return accepted;
  }

  async #account(accepted: number, fromId: string): Promise<void> {
    const { rows } = await this.database.query<{ all: number; succeeded: number; open: number }>(
      `SELECT count(*)::int AS all, (count(*) FILTER (WHERE status = 'succeeded'))::int AS succeeded,
              (SELECT count(*)::int FROM open_deliveries WHERE endpoint_id = $1 AND delivery_id >= $2) AS open
       FROM deliveries WHERE endpoint_id = $1 AND id >= $2`,
      [this.target.endpointUuid, fromId],
    );
    const { all, succeeded, open } = rows[0] ?? { all: 0, succeeded: 0, open: 0 };
    if (all !== accepted || succeeded + open !== all)
      throw new Error(
        `of ${accepted} events, ${all} have a delivery, ${succeeded} succeeded and ${open} are open`,
      );
    if (open === 0) throw new Error('the backlog was over before its time: nothing was measured');
  }

  /** So that each round finds as much as the one before, and whoever reads the log afterwards what a log is made of. */
  async #removeRest(fromId: string): Promise<void> {
    const { rows } = await this.database.query<{ name: string }>(
      `WITH rest AS (
         DELETE FROM open_deliveries WHERE endpoint_id = $1 AND delivery_id >= $2 RETURNING delivery_id, event_id
       ), deliveries_removed AS (
         DELETE FROM deliveries d USING rest WHERE d.id = rest.delivery_id AND d.id >= $2
         RETURNING d.tableoid::regclass::text AS name
       ), events_removed AS (
         DELETE FROM events e USING rest WHERE e.id = rest.event_id AND e.id >= $2
         RETURNING e.tableoid::regclass::text AS name
       )
       SELECT name FROM deliveries_removed UNION SELECT name FROM events_removed`,
      [this.target.endpointUuid, fromId],
    );
    await this.database.query(`VACUUM (ANALYZE) open_deliveries, ${rows.map(({ name }) => name).join()}`);
  }
}

/** Of an even number, the lower of the two in the middle. */
export function median(rates: readonly Rate[]): Rate {
  return rates.toSorted((a, b) => a.ratio - b.ratio)[Math.floor((rates.length - 1) / 2)] as Rate;
}
