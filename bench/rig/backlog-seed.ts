import type pg from 'pg';
import { USUAL_DATA, USUAL_TYPE } from './usual-event.js';

/** Some seconds each; a signal is noticed between two. */
const ROWS_PER_STATEMENT = 50_000;

/**
 * Writes deliveries that are due, as accept leaves them when the queue is full: event, delivery and open row each, without
 * a hint. Event and delivery share the millisecond of their ids, which later statements rely on, and come due in its order.
 */
export async function seedBacklog(
  client: pg.Client,
  seed: {
    readonly merchantId: string;
    readonly endpointIds: readonly string[];
    readonly deliveries: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  // What is lost with the power is seeded again.
  await client.query('SET synchronous_commit = off');
  for (let seeded = 0; seeded < seed.deliveries; seeded += ROWS_PER_STATEMENT) {
    seed.signal.throwIfAborted();
    await client.query(SEED, [
      Math.min(ROWS_PER_STATEMENT, seed.deliveries - seeded),
      seed.merchantId,
      seed.endpointIds,
      USUAL_TYPE,
      JSON.stringify(USUAL_DATA),
    ]);
  }
  // A backlog that grew by itself would have been looked at and written back long ago, and not in the middle of a measurement.
  await client.query('VACUUM (ANALYZE) open_deliveries, deliveries, events');
  await client.query('CHECKPOINT');
}

/** $1 rows, $2 merchant, $3 endpoints in turn, $4 event type, $5 data */
const SEED = `
  WITH ids AS MATERIALIZED (
    SELECT position, event_id, (left(event_id::text, 14) || substr(gen_random_uuid()::text, 15))::uuid AS delivery_id, due_at,
           ($3::uuid[])[1 + position % cardinality($3::uuid[])] AS endpoint_id
    FROM (SELECT position, uuidv7() AS event_id, clock_timestamp() AS due_at FROM generate_series(1, $1::int) AS position) AS events
  ), new_events AS (
    INSERT INTO events (id, merchant_id, type, data, created_at, delivery_count)
    SELECT event_id, $2::uuid, $4, convert_to($5, 'UTF8'), now(), 1 FROM ids
  ), new_deliveries AS (
    INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status)
    SELECT delivery_id, event_id, endpoint_id, $2::uuid, $4, 'envelope', 'pending' FROM ids
  )
  INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, payload_format, data_bytes)
  SELECT delivery_id, event_id, endpoint_id, $2::uuid, due_at, due_at, 'envelope', octet_length($5) FROM ids`;

/** Some milliseconds of locks each: what settles meanwhile must not have to wait. */
const ROWS_PER_DELETE = 2_000;

/**
 * Takes away the oldest deliveries of these endpoints that nobody has in hand, so that the end of a drain can be looked at
 * without waiting for all of it, and leaves the table as a drain would: cleaned up behind itself.
 */
export async function trimBacklog(
  client: pg.Client,
  trim: {
    readonly endpointIds: readonly string[];
    readonly deliveriesLeft: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT delivery_id AS id FROM open_deliveries WHERE endpoint_id = ANY ($1::uuid[])
     ORDER BY delivery_id DESC OFFSET $2 LIMIT 1`,
    [trim.endpointIds, trim.deliveriesLeft],
  );
  const end = rows[0]?.id;
  let from: string | null = NIL;
  while (end !== undefined && from !== null) {
    trim.signal.throwIfAborted();
    // From where the last one stopped, because what it deleted is still in the index.
    const deleted: pg.QueryResult<{ last: string | null }> = await client.query(DELETE, [
      trim.endpointIds,
      from,
      end,
      ROWS_PER_DELETE,
    ]);
    from = deleted.rows[0]?.last ?? null;
  }
  await client.query('VACUUM (ANALYZE) open_deliveries');
}

const NIL = '00000000-0000-0000-0000-000000000000';

/** $1 endpoints, $2 after this delivery, $3 up to this one, $4 rows */
const DELETE = `
  WITH deleted AS (
    DELETE FROM open_deliveries
    WHERE delivery_id IN (SELECT delivery_id FROM open_deliveries
                          WHERE endpoint_id = ANY ($1::uuid[]) AND delivery_id > $2::uuid AND delivery_id <= $3::uuid
                            AND lease_until IS NULL
                          ORDER BY delivery_id LIMIT $4 FOR UPDATE SKIP LOCKED)
    RETURNING delivery_id
  )
  SELECT max(delivery_id::text) AS last FROM deleted`;
