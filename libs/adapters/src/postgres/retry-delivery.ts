import { uuidCeil, uuidFloor, uuidTimeMs } from '#domain/ids.js';
import type { DueDelivery } from '#pipeline/dispatch.js';
import { HINT_TTL_MS, type Lane } from '#pipeline/hint-queue.js';
import type { Statements } from './database.js';
import type { DeliveryRef } from './delivery-log.js';
import { Prisma } from './generated/client.js';
import { HAS_PAYLOAD } from './event-payload.js';
import { REOPENED_HINT_NUMBER } from './hint-number.js';

export type RetryOutcome =
  /** An attempt is due now; whoever holds this is to hint it. */
  | { readonly kind: 'due'; readonly delivery: DueDelivery }
  /** An attempt is under way, or one that was asked for by hand waits to begin. */
  | { readonly kind: 'under_way' }
  /** Its endpoint is paused, disabled or deleted. */
  | { readonly kind: 'endpoint_closed' }
  /** The payload format cannot carry the event, so there is nothing that could be sent. */
  | { readonly kind: 'payload_conflict' }
  /** Its data was erased, or what is stored of it is masked. */
  | { readonly kind: 'data_erased' }
  | { readonly kind: 'not_found' };

interface RetryRow {
  readonly endpointId: string;
  readonly isOpen: boolean;
  readonly isUnderWay: boolean;
  readonly isGateOpen: boolean;
  readonly hasPayloadConflict: boolean;
  readonly hasData: boolean;
  readonly lane: Lane;
  /** Null when nothing was made due. */
  readonly hintNumber: number | null;
}

/**
 * Makes an attempt of a delivery due now. An open delivery's next attempt is brought forward; a final one gets an
 * open row for exactly one attempt and keeps its status until that has ended. What is made due is marked as hinted.
 */
export async function retryDelivery(db: Statements, ref: DeliveryRef): Promise<RetryOutcome> {
  for (let tries = 1; ; tries++) {
    const [row] = await makeDue(db, ref);
    if (row === undefined) return { kind: 'not_found' };
    const { endpointId, hintNumber, lane } = row;
    if (hintNumber !== null)
      return { kind: 'due', delivery: { deliveryId: ref.id, endpointId, lane, hintNumber } };
    if (!row.isGateOpen) return { kind: 'endpoint_closed' };
    if (row.isUnderWay) return { kind: 'under_way' };
    if (!row.isOpen && row.hasPayloadConflict) return { kind: 'payload_conflict' };
    if (!row.isOpen && !row.hasData) return { kind: 'data_erased' };
    // It was claimed, settled or retried between the snapshot and the write. Whoever did so made it under way.
    if (tries === TRIES_MAX) return { kind: 'under_way' };
  }
}

/** A snapshot can be overtaken once by a claim and once by the settle that follows it. */
const TRIES_MAX = 3;

async function makeDue(db: Statements, { id: deliveryId, merchantId }: DeliveryRef): Promise<RetryRow[]> {
  const merchant =
    merchantId === undefined ? Prisma.empty : Prisma.sql`AND d.merchant_id = ${merchantId}::uuid`;
  // A delivery carries its event's millisecond: with these bounds one partition of events is looked at.
  const eventFloor = uuidFloor(uuidTimeMs(deliveryId));
  const eventCeil = uuidCeil(uuidTimeMs(deliveryId));
  return db.$queryRaw`
    WITH event AS MATERIALIZED (
      -- Held until this commits, so that the event is not masked between this look and the delivery's being open; one that
      -- is being masked now is waited for, and then seen as it is after that.
      SELECT id, data, redacted_at FROM events
      WHERE (id, merchant_id) = (SELECT d.event_id, d.merchant_id FROM deliveries d
                                 WHERE d.id = ${deliveryId}::uuid ${merchant})
        AND id BETWEEN ${eventFloor}::uuid AND ${eventCeil}::uuid
      FOR SHARE
    ), target AS MATERIALIZED (
      SELECT d.id, d.event_id, d.endpoint_id, d.merchant_id, d.attempt_count, d.status,
             d.payload_format,
             g.status = 'enabled' AS is_gate_open, g.lane,
             d.error_code IS NOT DISTINCT FROM 'payload_conflict' AS has_payload_conflict,
             CASE WHEN ${HAS_PAYLOAD} THEN octet_length(e.data) END AS data_bytes,
             o.delivery_id IS NOT NULL AS is_open,
             o.delivery_id IS NOT NULL
               AND (o.lease_until IS NOT NULL OR (o.single AND o.due_at <= now())) AS is_under_way
      FROM deliveries d
      JOIN endpoint_gates g ON g.endpoint_id = d.endpoint_id
      LEFT JOIN event e ON e.id = d.event_id
      LEFT JOIN open_deliveries o ON o.delivery_id = d.id
      WHERE d.id = ${deliveryId}::uuid ${merchant}
    ), brought_forward AS (
      UPDATE open_deliveries o
      SET due_at = now(), hinted_until = now() + ${HINT_TTL_MS} * interval '1 ms',
          hint_number = o.hint_number + 1, trigger = 'manual'
      FROM target t
      WHERE o.delivery_id = t.id AND t.is_gate_open AND o.lease_until IS NULL
        AND NOT (o.single AND o.due_at <= now())
      RETURNING o.hint_number
    ), opened_again AS (
      INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, hint_number,
                                   attempt_number, trigger, single, payload_format, data_bytes)
      SELECT t.id, t.event_id, t.endpoint_id, t.merchant_id, now(), now() + ${HINT_TTL_MS} * interval '1 ms',
             ${REOPENED_HINT_NUMBER}, t.attempt_count, 'manual', true,
             t.payload_format, t.data_bytes
      FROM target t
      WHERE t.status IN ('succeeded', 'failed', 'cancelled') AND t.is_gate_open AND NOT t.is_open
        AND NOT t.has_payload_conflict AND t.data_bytes IS NOT NULL
      ON CONFLICT (delivery_id) DO NOTHING
      RETURNING hint_number
    )
    SELECT t.endpoint_id AS "endpointId", t.is_open AS "isOpen", t.is_under_way AS "isUnderWay", t.is_gate_open AS "isGateOpen",
           t.has_payload_conflict AS "hasPayloadConflict", t.data_bytes IS NOT NULL AS "hasData", t.lane,
           coalesce((SELECT hint_number FROM brought_forward), (SELECT hint_number FROM opened_again)) AS "hintNumber"
    FROM target t`;
}
