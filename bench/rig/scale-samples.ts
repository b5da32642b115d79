import type pg from 'pg';
import { DAY_MS } from '#adapters/postgres/id-range.js';
import { formatId, uuidFloor } from '#domain/ids.js';
import { DAYS } from './scale-model.js';

/** What the lists of deliveries can be asked for, beside time and event. */
export const FILTER_NAMES = ['status', 'outcome', 'status_code', 'event_type'] as const;
export type FilterName = (typeof FILTER_NAMES)[number];

/** A delivery of the log, as it can be found. */
export interface Sample {
  readonly deliveryId: string;
  readonly eventId: string;
  readonly producerId: string | null;
  readonly merchantId: string;
  readonly webhookId: string;
  /** Null where no attempt has ended, or none got an answer. */
  readonly values: Readonly<Record<FilterName, string | null>>;
}

export interface Samples {
  readonly any: readonly Sample[];
  /** Whose last attempt has failed. */
  readonly failing: readonly Sample[];
  readonly open: readonly Sample[];
  readonly withManyAttempts: readonly Sample[];
}

const SAMPLES = 200;
export const MANY_ATTEMPTS = 10;

/** Of any time and, by how much they have, of any merchant; those that are open are of today. */
export async function readSamples(database: pg.Client, nowMs: number): Promise<Samples> {
  const after = (condition: string): Promise<Sample[]> =>
    read(
      database,
      `SELECT d.* FROM unnest($1::uuid[]) AS moments (id)
       CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id >= moments.id AND ${condition} ORDER BY id LIMIT 1) AS d`,
      [Array.from({ length: SAMPLES }, () => uuidFloor(momentBefore(nowMs)))],
    );
  return {
    any: await after('true'),
    failing: await after('rare_outcome IS NOT NULL'),
    open: await read(
      database,
      `SELECT d.* FROM (SELECT delivery_id FROM open_deliveries ORDER BY random() LIMIT ${SAMPLES}) AS o
       JOIN deliveries d ON d.id = o.delivery_id`,
      [],
    ),
    withManyAttempts: await after(`attempt_count = ${MANY_ATTEMPTS}`),
  };
}

/** Any moment of the log, Unix milliseconds. */
export function momentBefore(nowMs: number): number {
  return nowMs - Math.random() * (DAYS - 1) * DAY_MS;
}

interface Row {
  readonly id: string;
  readonly event_id: string;
  readonly merchant_id: string;
  readonly endpoint_id: string;
  readonly producer_id: string | null;
  readonly shown_status: string;
  readonly last_outcome: string | null;
  readonly last_status_code: number | null;
  readonly event_type: string;
}

async function read(database: pg.Client, deliveries: string, values: readonly unknown[]): Promise<Sample[]> {
  const { rows } = await database.query<Row>(
    `SELECT d.*, e.producer_id,
            CASE WHEN g.status = 'paused' AND d.status IN ('pending', 'retrying') THEN 'held' ELSE d.status END AS shown_status
     FROM (${deliveries}) AS d
     JOIN events e ON e.id = d.event_id
     JOIN endpoint_gates g ON g.endpoint_id = d.endpoint_id`,
    [...values],
  );
  if (rows.length === 0) throw new Error(`there are no samples of ${deliveries}`);
  return rows.map((row) => ({
    deliveryId: formatId('dlv', row.id),
    eventId: formatId('evt', row.event_id),
    producerId: row.producer_id,
    merchantId: formatId('mrc', row.merchant_id),
    webhookId: formatId('wh', row.endpoint_id),
    values: {
      status: row.shown_status,
      outcome: row.last_outcome,
      status_code: row.last_status_code?.toString() ?? null,
      event_type: row.event_type,
    },
  }));
}
