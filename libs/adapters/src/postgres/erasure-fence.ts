import type { Statements } from './database.js';

/**
 * Whether everybody who could still write for a merchant has ended. Accept and settle look at a merchant's status in the
 * snapshot that they write in and take no lock on it, because a lock would cost every event a write. So a statement that
 * began a moment before the erasure may commit after it, and its rows would be missed.
 *
 * Two steps, each a look and no wait. First no session may hold a snapshot that is older than the erasure's commit. A
 * statement drops its snapshot just before it commits, so then all transactions that had begun by that time must have ended:
 * they are those below a transaction that begins only after the first look.
 *
 * Sessions of other roles hide their snapshots: all processes of an installation connect as one role.
 */
export async function isFenced(db: Statements, merchantId: string): Promise<boolean> {
  const [state] = await db.$queryRaw<{ isFirstLook: boolean; isAnyoneLeft: boolean }[]>`
    SELECT e.settled_below IS NULL AS "isFirstLook",
           EXISTS (
             SELECT FROM pg_stat_activity a
             WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
               -- The 64-bit transaction of an age in 32 bits: too low by some rather than too high.
               AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                     - age(CASE WHEN e.settled_below IS NULL THEN a.backend_xmin ELSE a.backend_xid END)
                   <= coalesce(e.settled_below, e.begun_by)
           ) AS "isAnyoneLeft"
    FROM merchant_erasures e
    WHERE e.merchant_id = ${merchantId}::uuid`;
  if (state === undefined || state.isAnyoneLeft) return false;
  if (!state.isFirstLook) return true;
  await db.$executeRaw`
    UPDATE merchant_erasures SET settled_below = pg_current_xact_id()::text::bigint
    WHERE merchant_id = ${merchantId}::uuid AND settled_below IS NULL`;
  return false;
}

/** Whether an attempt of the merchant may still be under way: what is leased is left to end, and nothing is leased anew. */
export async function isInFlight(db: Statements, merchantId: string): Promise<boolean> {
  const [row] = await db.$queryRaw<{ isAny: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM endpoints e
      JOIN open_deliveries o ON o.endpoint_id = e.id AND o.lease_until > now()
      WHERE e.merchant_id = ${merchantId}::uuid
    ) AS "isAny"`;
  return row?.isAny ?? false;
}
