import type { Trigger } from '#domain/attempt-outcome.js';
import type { PayloadFormat } from '#domain/payload-format.js';
import {
  CLAIM_BYTES_MAX,
  type Claimed,
  type ClaimRequest,
  EARLY_CLAIM_MS,
  LEASE_GRACE_MS,
  SUSPECT_AFTER_UNKNOWNS,
} from '#pipeline/delivery-store.js';
import type { Lane } from '#pipeline/hint-queue.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { ROOM, TOKENS } from './gate-room.js';
import { Prisma } from './generated/client.js';
import { byDay, idRange } from './id-range.js';
import { plainArray } from './plain-array.js';
import { roomLeft } from './room-left.js';
import type { Rooms } from '#pipeline/rooms.js';

interface Row {
  delivery_id: string;
  event_id: string;
  endpoint_id: string;
  merchant_id: string;
  endpoint_version: bigint;
  attempt_number: number;
  failures: number;
  trigger: Trigger;
  single: boolean;
  payload_format: PayloadFormat;
  producer_id: string | null;
  type: string;
  created_at_ms: number;
  created_at_text: string | null;
  data: Uint8Array | null;
  type_schedule: number[] | null;
}

/**
 * Leases the deliveries that are due, unleased and whose endpoint's gate lets them through, within what this worker has
 * room for, and reads what it takes to send them. What is refused, or was hinted too early, is given back to the sweep.
 *
 * in:  a lane; delivery ids with the lease token and attempt id that each gets; room by endpoint and merchant
 * out: the deliveries leased
 */
export async function claimDeliveries(
  db: Statements,
  lane: Lane,
  wanted: readonly ClaimRequest[],
  rooms: Rooms,
): Promise<Claimed[]> {
  const claimed: Claimed[] = [];
  for (const ofOneDay of byDay(wanted, ({ deliveryId }) => deliveryId)) {
    const rows = await withDeadlockRetry(() => statement(db, lane, ofOneDay, rooms));
    // What was asked with is not sent back: of the cost of a claim in this process, most is in reading its rows.
    const asked = new Map(ofOneDay.map((request) => [request.deliveryId, request]));
    for (const row of rows) claimed.push(toClaimed(row, asked.get(row.delivery_id) as ClaimRequest));
  }
  return claimed;
}

function statement(
  db: Statements,
  lane: Lane,
  wanted: readonly ClaimRequest[],
  rooms: Rooms,
): Promise<Row[]> {
  const deliveryIds = wanted.map(({ deliveryId }) => deliveryId);
  const { low, high } = idRange(deliveryIds);
  const ids = plainArray(deliveryIds);
  const ofEndpoint = roomLeft(rooms.endpoints, rooms.perEndpoint, Prisma.sql`g.endpoint_id`);
  const ofMerchant = roomLeft(rooms.merchants, rooms.perMerchant, Prisma.sql`c.merchant_id`);
  return db.$queryRaw<Row[]>`
    WITH candidates AS (
      SELECT o.delivery_id, o.endpoint_id, o.merchant_id, o.due_at, o.data_bytes,
             array_position(${ids}::uuid[], o.delivery_id) AS place,
             o.due_at <= now() + ${EARLY_CLAIM_MS} * interval '1 millisecond' AND NOT o.blocked
               AND (o.unknowns >= ${SUSPECT_AFTER_UNKNOWNS}) = ${lane === 'suspect'} AS is_due
      FROM open_deliveries o
      WHERE o.delivery_id = ANY (${ids}::uuid[]) AND o.lease_until IS NULL
      ORDER BY o.delivery_id
      FOR UPDATE
    ), gates AS (
      SELECT g.*
      FROM endpoint_gates g
      WHERE g.endpoint_id IN (SELECT endpoint_id FROM candidates WHERE is_due)
      ORDER BY g.endpoint_id
      FOR UPDATE
    ), open_gates AS MATERIALIZED (
      SELECT g.endpoint_id, e.timeout_ms, e.version, ${TOKENS} AS tokens, least(${ROOM}, ${ofEndpoint}) AS room
      FROM gates g
      JOIN endpoints e ON e.id = g.endpoint_id
      WHERE ${lane} IN ('suspect', g.lane)
    ), let_through AS (
      SELECT c.*, g.timeout_ms, g.version, g.tokens
      FROM (SELECT *, row_number() OVER (PARTITION BY endpoint_id ORDER BY due_at, delivery_id) AS rank
            FROM candidates WHERE is_due) AS c
      JOIN open_gates g ON g.endpoint_id = c.endpoint_id AND c.rank <= g.room
    ), chosen AS (
      SELECT c.delivery_id, c.endpoint_id, c.place, c.timeout_ms, c.version, c.tokens
      FROM (SELECT *, row_number() OVER (PARTITION BY merchant_id ORDER BY due_at, delivery_id) AS merchant_rank,
                   sum(data_bytes) OVER (ORDER BY due_at, delivery_id) - data_bytes AS bytes_before
            FROM let_through) AS c
      WHERE c.merchant_rank <= ${ofMerchant} AND c.bytes_before < ${CLAIM_BYTES_MAX}
    ), leased AS (
      UPDATE open_deliveries o
      SET lease_token = (${plainArray(wanted.map(({ leaseToken }) => leaseToken))}::uuid[])[chosen.place],
          attempt_id = (${plainArray(wanted.map(({ attemptId }) => attemptId))}::uuid[])[chosen.place],
          lease_until = now() + (chosen.timeout_ms + ${LEASE_GRACE_MS}) * interval '1 millisecond',
          attempt_number = o.attempt_number + 1
      FROM chosen
      WHERE o.delivery_id = chosen.delivery_id
      RETURNING o.*, chosen.version
    ), passed AS (
      UPDATE endpoint_gates g
      SET in_flight = g.in_flight + taken.count,
          rate_tokens = coalesce(taken.tokens - taken.count, g.rate_tokens),
          rate_refilled_at = now(),
          breaker_probe_at = CASE WHEN g.breaker_state = 'open'
                                  THEN now() + g.breaker_probe_wait_ms * interval '1 millisecond'
                                  ELSE g.breaker_probe_at END
      FROM (SELECT endpoint_id, tokens, count(*)::int AS count FROM chosen GROUP BY endpoint_id, tokens) AS taken
      WHERE g.endpoint_id = taken.endpoint_id
    ), given_back AS (
      UPDATE open_deliveries o
      SET hinted_until = now()
      FROM candidates c
      -- NOT IN looks up a hash; NOT EXISTS, of parts whose size nobody knows, compares each with each.
      WHERE o.delivery_id = c.delivery_id AND c.delivery_id NOT IN (SELECT delivery_id FROM chosen)
    )
    SELECT l.delivery_id, l.event_id, l.endpoint_id, l.merchant_id, l.version AS endpoint_version, l.attempt_number,
           l.failures, l.trigger, l.single, l.payload_format, e.producer_id, e.type,
           -- Not as a timestamp: the driver takes one apart with a regular expression.
           date_part('epoch', e.created_at) * 1000 AS created_at_ms, e.created_at_text,
           -- Masked bytes are never sent, whatever opened the delivery again.
           CASE WHEN e.redacted_at IS NULL THEN e.data END AS data,
           (SELECT t.retry_schedule_seconds FROM event_types t WHERE t.name = e.type) AS type_schedule
    FROM leased l
    -- OFFSET 0 keeps this a look-up by key for each row: as a plain join the planner walks the whole range for each.
    CROSS JOIN LATERAL (
      SELECT * FROM events WHERE id = l.event_id AND id BETWEEN ${low}::uuid AND ${high}::uuid OFFSET 0
    ) AS e`;
}

function toClaimed(row: Row, { deliveryId, leaseToken, attemptId }: ClaimRequest): Claimed {
  return {
    deliveryId,
    leaseToken,
    attemptId,
    eventId: row.event_id,
    endpointId: row.endpoint_id,
    merchantId: row.merchant_id,
    endpointVersion: row.endpoint_version,
    attemptNumber: row.attempt_number,
    failures: row.failures,
    trigger: row.trigger,
    single: row.single,
    payloadFormat: row.payload_format,
    typeScheduleSeconds: row.type_schedule,
    event: {
      producerId: row.producer_id,
      type: row.type,
      createdAtMs: Math.floor(row.created_at_ms + HALF_MICROSECOND_MS),
      createdAtText: row.created_at_text,
      data: row.data,
    },
  };
}

/** PostgreSQL keeps microseconds; as a floating point number of milliseconds a time may come out just below its own. */
const HALF_MICROSECOND_MS = 0.000_5;
