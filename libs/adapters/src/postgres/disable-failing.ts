import { DISABLE_ATTEMPTS_MIN } from '#domain/operational-event.js';
import { CANCEL_BATCH_MAX, cancelOpenDeliveries } from './cancel-deliveries.js';
import type { Database } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { Prisma } from './generated/client.js';
import { tellDisabled } from './notices.js';

/** Each takes a few rows' locks; what is left over is found by the next sweep. */
const ENDPOINTS_PER_SWEEP_MAX = 100;

/**
 * Disables endpoints of which every attempt has failed for so long: the first failure since the last success and the latest
 * one lie at least `days` apart, and there were enough of them, so that neither a burst nor silence disables anything.
 * What is open of them is cancelled, as when they are disabled by hand.
 *
 * @param days may be a fraction
 * @returns the endpoints disabled
 */
export async function disableFailing(db: Database, days: number): Promise<string[]> {
  const disabled = await withDeadlockRetry(() => disable(db, days));
  if (disabled.length > 0) await cancelOpenDeliveries(db, disabled, CANCEL_BATCH_MAX);
  return disabled;
}

function disable(db: Database, days: number): Promise<string[]> {
  return db.$transaction(async (tx) => {
    const candidates = await tx.$queryRaw<{ endpointId: string; merchantId: string }[]>`
      SELECT endpoint_id AS "endpointId", merchant_id AS "merchantId" FROM endpoint_gates
      WHERE ${hasFailedFor(days)}
      ORDER BY failing_since LIMIT ${ENDPOINTS_PER_SWEEP_MAX}`;
    if (candidates.length === 0) return [];
    // In the order of a change by call: merchant, then endpoint and gate.
    await tx.$executeRaw`
      SELECT FROM merchants WHERE id = ANY (${candidates.map(({ merchantId }) => merchantId)}::uuid[])
      ORDER BY id FOR NO KEY UPDATE`;
    // Looked at again under the lock: an attempt may have succeeded since.
    const failing = await tx.$queryRaw<{ endpointId: string }[]>`
      SELECT endpoint_id AS "endpointId" FROM endpoint_gates
      WHERE endpoint_id = ANY (${candidates.map(({ endpointId }) => endpointId)}::uuid[])
        AND ${hasFailedFor(days)}
      ORDER BY endpoint_id FOR UPDATE`;
    const ids = failing.map(({ endpointId }) => endpointId);
    if (ids.length === 0) return [];
    await tx.$executeRaw`
      UPDATE endpoint_gates
      SET status = 'disabled', failing_since = NULL, failing_attempts = 0, is_failing_told = false
      WHERE endpoint_id = ANY (${ids}::uuid[])`;
    await tx.$executeRaw`
      WITH disabled AS (
        UPDATE endpoints SET status = 'disabled', disabled_reason = 'failing', version = version + 1, updated_at = now()
        WHERE id = ANY (${ids}::uuid[])
        RETURNING merchant_id
      )
      UPDATE merchants SET config_version = config_version + 1 WHERE id IN (SELECT merchant_id FROM disabled)`;
    await tellDisabled(tx, ids, 'failing');
    return ids;
  });
}

/** One that is paused is left to whoever paused it. */
function hasFailedFor(days: number): Prisma.Sql {
  return Prisma.sql`
    (failing_since <= now() - ${days}::float8 * interval '1 day'
     AND failing_until >= failing_since + ${days}::float8 * interval '1 day'
     AND failing_attempts >= ${DISABLE_ATTEMPTS_MIN} AND status = 'enabled')`;
}
