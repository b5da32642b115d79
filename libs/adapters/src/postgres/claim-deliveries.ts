import type { Trigger } from '#domain/attempt-outcome.js';
import type { PayloadFormat } from '#domain/payload-format.js';
import { EARLY_CLAIM_MS, LEASE_GRACE_MS, type Claimed, type ClaimRequest } from '#pipeline/delivery-store.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { byDay, idRange } from './id-range.js';

interface Row {
  delivery_id: string;
  lease_token: string;
  attempt_id: string;
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
  created_at: Date;
  created_at_text: string | null;
  data: Uint8Array | null;
}

/**
 * Leases the deliveries that are due, unleased and whose endpoint may send, and reads what it takes to send them.
 * A hint that came too early gives its delivery back to the sweep.
 *
 * in:  delivery ids with the lease token and attempt id that each gets
 * out: the deliveries leased
 */
export async function claimDeliveries(db: Statements, wanted: readonly ClaimRequest[]): Promise<Claimed[]> {
  const claimed: Claimed[] = [];
  for (const ofOneDay of byDay(wanted, ({ deliveryId }) => deliveryId)) {
    const rows = await withDeadlockRetry(() => statement(db, ofOneDay));
    for (const row of rows) claimed.push(toClaimed(row));
  }
  return claimed;
}

function statement(db: Statements, wanted: readonly ClaimRequest[]): Promise<Row[]> {
  const ids = wanted.map(({ deliveryId }) => deliveryId);
  const { low, high } = idRange(ids);
  return db.$queryRaw<Row[]>`
    WITH wanted AS (
      SELECT * FROM unnest(${ids}::uuid[],
                           ${wanted.map(({ leaseToken }) => leaseToken)}::uuid[],
                           ${wanted.map(({ attemptId }) => attemptId)}::uuid[])
           AS w (delivery_id, lease_token, attempt_id)
    ), early AS (
      UPDATE open_deliveries o SET hinted_until = now()
      WHERE o.delivery_id = ANY (${ids}::uuid[])
        AND o.due_at > now() + ${EARLY_CLAIM_MS} * interval '1 millisecond'
        AND o.lease_until IS NULL
    ), free AS (
      SELECT o.delivery_id, e.timeout_ms, e.version AS endpoint_version
      FROM open_deliveries o
      JOIN endpoint_gates g ON g.endpoint_id = o.endpoint_id AND g.status = 'enabled'
      JOIN endpoints e ON e.id = o.endpoint_id AND e.deleted_at IS NULL
      WHERE o.delivery_id = ANY (${ids}::uuid[])
        AND o.due_at <= now() + ${EARLY_CLAIM_MS} * interval '1 millisecond'
        AND o.lease_until IS NULL
        AND NOT o.blocked
      ORDER BY o.delivery_id
      FOR UPDATE OF o
    ), leased AS (
      UPDATE open_deliveries o
      SET lease_token = w.lease_token,
          attempt_id = w.attempt_id,
          lease_until = now() + (free.timeout_ms + ${LEASE_GRACE_MS}) * interval '1 millisecond',
          attempt_number = o.attempt_number + 1
      FROM wanted w
      JOIN free USING (delivery_id)
      WHERE o.delivery_id = w.delivery_id
      RETURNING o.*, free.endpoint_version
    )
    SELECT l.delivery_id, l.lease_token, l.attempt_id, l.event_id, l.endpoint_id, l.merchant_id, l.endpoint_version,
           l.attempt_number, l.failures, l.trigger, l.single, l.payload_format,
           e.producer_id, e.type, e.created_at, e.created_at_text, e.data
    FROM leased l
    JOIN events e ON e.id = l.event_id AND e.id BETWEEN ${low}::uuid AND ${high}::uuid`;
}

function toClaimed(row: Row): Claimed {
  return {
    deliveryId: row.delivery_id,
    leaseToken: row.lease_token,
    attemptId: row.attempt_id,
    eventId: row.event_id,
    endpointId: row.endpoint_id,
    merchantId: row.merchant_id,
    endpointVersion: row.endpoint_version,
    attemptNumber: row.attempt_number,
    failures: row.failures,
    trigger: row.trigger,
    single: row.single,
    payloadFormat: row.payload_format,
    event: {
      producerId: row.producer_id,
      type: row.type,
      createdAtMs: row.created_at.getTime(),
      createdAtText: row.created_at_text,
      data: row.data,
    },
  };
}
