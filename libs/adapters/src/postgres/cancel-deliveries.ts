import type { DELIVERY_ERRORS } from '#domain/error-codes.js';
import { uuidFloor } from '#domain/ids.js';
import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import type { DeliveryRef } from './delivery-log.js';
import { Prisma } from './generated/client.js';
import { byDay, idRange } from './id-range.js';

/** Rows of one transaction: a few milliseconds of locks, so that nothing that settles meanwhile has to wait for it. */
export const CANCEL_BATCH_MAX = 1_000;

export type CancelOutcome = 'cancelled' | 'in_flight' | 'final';

/**
 * Cancels one delivery, in one statement. Of a delivery that is final already, and only tried once more by hand, that
 * try is what goes away: its status stays. `in_flight` and `final`: there was nothing that may be cancelled.
 */
export async function cancelDelivery(
  db: Statements,
  { id: deliveryId, merchantId }: DeliveryRef,
): Promise<CancelOutcome> {
  const merchant =
    merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${merchantId}::uuid`;
  for (let tries = 1; ; tries++) {
    const [row] = await db.$queryRaw<{ isClosed: boolean; isLeased: boolean | null }[]>`
      WITH closed AS (
        DELETE FROM open_deliveries
        WHERE delivery_id = ${deliveryId}::uuid AND lease_until IS NULL ${merchant}
        RETURNING single
      ), cancelled AS (
        UPDATE deliveries SET status = 'cancelled', completed_at = now()
        WHERE id = ${deliveryId}::uuid AND status IN ('pending', 'retrying') AND (SELECT NOT single FROM closed)
          ${merchant}
      )
      SELECT EXISTS (SELECT FROM closed) AS "isClosed",
             (SELECT lease_until IS NOT NULL FROM open_deliveries
              WHERE delivery_id = ${deliveryId}::uuid ${merchant}) AS "isLeased"`;
    if (row === undefined) throw new Error('cancel answered nothing');
    if (row.isClosed) return 'cancelled';
    if (row.isLeased === null) return 'final';
    // Free in the snapshot and yet not to be had: it was claimed or closed in between, and a new snapshot says which.
    if (row.isLeased || tries === TRIES_MAX) return 'in_flight';
  }
}

/** A snapshot can be overtaken once by a claim and once by the settle that follows it. */
const TRIES_MAX = 3;

/**
 * Cancels what is open of these endpoints, at most `limit` deliveries. Those in flight are left to settle, which
 * finds the endpoint closed and cancels instead of retrying; rows that something else holds are left to the next
 * call. Returns how many open deliveries went: `limit` means that there may be more. With `merchantId`, of this merchant's
 * endpoints only.
 */
export async function cancelOpenDeliveries(
  db: Database,
  endpointIds: readonly string[],
  limit: number,
  merchantId?: string,
): Promise<number> {
  if (endpointIds.length === 0) return 0;
  const merchant =
    merchantId === undefined ? Prisma.empty : Prisma.sql`AND merchant_id = ${merchantId}::uuid`;
  return cancel(
    db,
    Prisma.sql`SELECT delivery_id FROM open_deliveries
               WHERE endpoint_id = ANY (${[...endpointIds]}::uuid[]) AND lease_until IS NULL ${merchant}
               LIMIT ${limit} FOR UPDATE SKIP LOCKED`,
  );
}

/**
 * As {@link cancelOpenDeliveries} of one endpoint, and then waits for the rows that something else held: whoever disabled
 * an endpoint and looks finds nothing of it pending but what is in flight, up to `limit`.
 */
export async function cancelOpenOfEndpoint(
  db: Database,
  { id, merchantId }: { readonly id: string; readonly merchantId: string },
  limit: number,
): Promise<void> {
  const cancelled = await cancelOpenDeliveries(db, [id], limit, merchantId);
  if (cancelled >= limit) return;
  await cancel(
    db,
    Prisma.sql`SELECT delivery_id FROM open_deliveries
               WHERE endpoint_id = ${id}::uuid AND lease_until IS NULL AND merchant_id = ${merchantId}::uuid
               ORDER BY delivery_id
               LIMIT ${limit - cancelled} FOR UPDATE`,
  );
}

/**
 * As {@link cancelOpenDeliveries}, of every endpoint that is disabled or deleted: for the sweep that ends what the
 * call itself did not get to, and what an accept committed a moment after it.
 */
export async function cancelForClosedEndpoints(db: Database, limit: number): Promise<number> {
  return cancel(
    db,
    Prisma.sql`SELECT o.delivery_id
               FROM endpoint_gates g
               CROSS JOIN LATERAL (
                 SELECT delivery_id FROM open_deliveries
                 WHERE endpoint_id = g.endpoint_id AND lease_until IS NULL
                 LIMIT ${limit}
                 FOR UPDATE SKIP LOCKED
               ) o
               WHERE g.status = 'disabled'
               LIMIT ${limit}`,
  );
}

/**
 * As {@link cancelOpenDeliveries}, of deliveries that are still open when they are older than the retention, counted from
 * when their event was accepted or from its `deliver_at`, whichever is later: they would keep their day's partition for
 * ever. They get the error code `expired`.
 *
 * @param beforeMs what is older than this has expired, Unix milliseconds
 */
export function expireOpenDeliveries(db: Database, beforeMs: number, limit: number): Promise<number> {
  const before = uuidFloor(beforeMs);
  return cancel(
    db,
    Prisma.sql`SELECT o.delivery_id
               FROM open_deliveries o
               LEFT JOIN LATERAL (
                 SELECT deliver_at FROM events WHERE id = o.event_id AND id < ${before}::uuid OFFSET 0
               ) AS e ON true
               WHERE o.delivery_id < ${before}::uuid AND o.lease_until IS NULL
                 AND NOT (o.attempt_number = 0 AND o.due_at > now())
                 AND (e.deliver_at IS NULL OR e.deliver_at < ${new Date(beforeMs)}::timestamptz)
               LIMIT ${limit}
               FOR UPDATE OF o SKIP LOCKED`,
    'expired',
  );
}

interface ClosedRow {
  readonly deliveryId: string;
  readonly single: boolean;
}

/** Deletes the open rows that `picked` locks and names, and makes their deliveries cancelled. */
function cancel(
  db: Database,
  picked: Prisma.Sql,
  errorCode: keyof typeof DELIVERY_ERRORS | null = null,
): Promise<number> {
  return withDeadlockRetry(() =>
    db.$transaction(async (tx) => {
      const closed = await tx.$queryRaw<ClosedRow[]>`
        WITH picked AS MATERIALIZED (${picked})
        DELETE FROM open_deliveries o USING picked
        WHERE o.delivery_id = picked.delivery_id
        RETURNING o.delivery_id AS "deliveryId", o.single`;
      const ids = closed.filter((row) => !row.single).map((row) => row.deliveryId);
      for (const day of byDay(ids.sort(), (id) => id)) await markCancelled(tx, day, errorCode);
      return closed.length;
    }),
  );
}

/** @param ids of one day, and so of one partition */
async function markCancelled(
  db: Statements,
  ids: readonly string[],
  errorCode: string | null,
): Promise<void> {
  const { low, high } = idRange(ids);
  await db.$executeRaw`
    UPDATE deliveries SET status = 'cancelled', completed_at = now(), error_code = ${errorCode}
    WHERE id = ANY (${[...ids]}::uuid[]) AND id BETWEEN ${low}::uuid AND ${high}::uuid
      AND status IN ('pending', 'retrying')`;
}
