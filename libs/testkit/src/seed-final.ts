import type { Database } from '#adapters/postgres/database.js';

export interface FinalSeed {
  readonly merchantId: string;
  /** Each gets every event. */
  readonly endpointIds: readonly string[];
  readonly events: number;
}

/**
 * Writes events of which every delivery has spent its schedule, as the pipeline leaves them, without their attempts. Event
 * and deliveries share the millisecond of their ids, which statements rely on.
 */
export async function seedFinal(database: Database, seed: FinalSeed): Promise<void> {
  for (let seeded = 0; seeded < seed.events; seeded += EVENTS_PER_STATEMENT) {
    const events = Math.min(EVENTS_PER_STATEMENT, seed.events - seeded);
    await database.$executeRaw`
      WITH ids AS MATERIALIZED (
        -- A UUIDv7 of this millisecond (RFC 9562, 5.7), a millisecond apart so that they ascend.
        SELECT overlay(gen_random_uuid()::text PLACING time || '-7' FROM 1 FOR 15)::uuid AS event_id, time
        FROM (SELECT overlay(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - ${seed.events} + ${seeded} + n), 12, '0')
                             PLACING '-' FROM 9 FOR 0) AS time
              FROM generate_series(1, ${events}::int) AS n) AS times
      ), new_events AS (
        INSERT INTO events (id, merchant_id, type, data, created_at, delivery_count)
        SELECT event_id, ${seed.merchantId}::uuid, 'payment.success', convert_to('{"amount":"50.00"}', 'UTF8'), now(),
               ${seed.endpointIds.length}
        FROM ids
      )
      INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status, attempt_count,
                              last_number, last_outcome, last_status_code, last_duration_ms, completed_at)
      SELECT overlay(gen_random_uuid()::text PLACING time || '-7' FROM 1 FOR 15)::uuid, event_id, endpoint_id,
             ${seed.merchantId}::uuid, 'payment.success', 'envelope', 'failed', 4, 4, 'http_error', 500, 12, now()
      FROM ids, unnest(${[...seed.endpointIds]}::uuid[]) AS endpoints (endpoint_id)`;
  }
}

/** A second or so each. */
const EVENTS_PER_STATEMENT = 10_000;
