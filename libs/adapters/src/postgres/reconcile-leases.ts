import { Prisma } from './generated/client.js';
import { ALARM_AFTER_UNKNOWNS, LEASE_GRACE_MS } from '#pipeline/delivery-store.js';
import { ATTEMPT_ERRORS } from '#domain/error-codes.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { byDay, idRange } from './id-range.js';

/**
 * Frees deliveries whose lease has ended, or whose lease a stopping worker gives up, and logs the attempt that
 * nobody saw the end of as `unknown` under the claim's own attempt id, so that a late result can still correct it.
 * No step of the schedule is charged. Of a merchant that is being erased nothing is logged. Rows that another reconciler or a settle holds are skipped.
 *
 * in:  how many at most; the lease tokens to give up, or none for those that have ended
 * out: how many were freed
 */
export async function reconcileLeases(
  db: Statements,
  {
    deliveriesMax,
    leaseTokens,
  }: { readonly deliveriesMax: number; readonly leaseTokens?: readonly string[] },
): Promise<number> {
  const isLost =
    leaseTokens === undefined
      ? Prisma.sql`lease_until IS NOT NULL AND lease_until <= now()`
      : Prisma.sql`lease_until IS NOT NULL AND lease_token = ANY (${leaseTokens}::uuid[])`;
  const lost = await db.$queryRaw<{ delivery_id: string }[]>`
    SELECT delivery_id FROM open_deliveries WHERE ${isLost} ORDER BY lease_until LIMIT ${deliveriesMax}`;
  let freed = 0;
  for (const ofOneDay of byDay(lost, (row) => row.delivery_id)) {
    const ids = ofOneDay.map((row) => row.delivery_id);
    freed += await withDeadlockRetry(() => statement(db, ids, isLost));
  }
  return freed;
}

function statement(db: Statements, ids: readonly string[], isLost: Prisma.Sql): Promise<number> {
  const { low, high } = idRange(ids);
  return db.$executeRaw`
    WITH lost AS (
      SELECT o.*, e.url, m.status = 'active' AS is_logged, o.lease_until - (e.timeout_ms + ${LEASE_GRACE_MS}) * interval '1 millisecond' AS started_at
      FROM (SELECT * FROM open_deliveries WHERE delivery_id = ANY (${ids}::uuid[]) AND ${isLost}
            ORDER BY delivery_id FOR UPDATE SKIP LOCKED) AS o
      JOIN endpoints e ON e.id = o.endpoint_id
      JOIN merchants m ON m.id = o.merchant_id
    ), logged AS (
      INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, error_code,
                            error_message, request_url, request_headers)
      SELECT attempt_id, delivery_id, merchant_id, attempt_number, trigger, started_at,
             greatest(0, extract(epoch FROM now() - started_at) * 1000)::int, 'unknown', ${WORKER_LOST},
             ${WORKER_LOST_MESSAGE}, url, '[]'
      FROM lost
      WHERE is_logged
      ON CONFLICT (id) DO NOTHING
    ), written_deliveries AS (
      UPDATE deliveries d
      SET status = CASE WHEN lost.single OR d.status = 'succeeded' THEN d.status ELSE 'retrying' END,
          attempt_count = greatest(d.attempt_count, lost.attempt_number),
          last_number = lost.attempt_number, last_outcome = 'unknown', last_status_code = NULL,
          last_error_code = ${WORKER_LOST},
          last_duration_ms = greatest(0, extract(epoch FROM now() - lost.started_at) * 1000)::int
      FROM lost
      WHERE d.id = lost.delivery_id AND d.id BETWEEN ${low}::uuid AND ${high}::uuid
    ), gates AS (
      SELECT endpoint_id FROM endpoint_gates
      WHERE endpoint_id IN (SELECT endpoint_id FROM lost)
      ORDER BY endpoint_id
      FOR UPDATE
    ), left_gates AS (
      UPDATE endpoint_gates g
      SET in_flight = g.in_flight - freed.count
      FROM (SELECT endpoint_id, count(*)::int AS count FROM lost JOIN gates USING (endpoint_id) GROUP BY endpoint_id)
           AS freed
      WHERE g.endpoint_id = freed.endpoint_id
    )
    UPDATE open_deliveries o
    SET lease_token = NULL, lease_until = NULL, attempt_id = NULL,
        unknowns = o.unknowns + 1,
        trigger = CASE o.trigger WHEN 'initial' THEN 'retry' ELSE o.trigger END,
        due_at = now() + CASE
          WHEN o.unknowns + 1 < ${ALARM_AFTER_UNKNOWNS} THEN interval '0'
          ELSE least(interval '6 hours',
                     interval '5 minutes' * 2 ^ least(o.unknowns + 1 - ${ALARM_AFTER_UNKNOWNS}, 10))
        END,
        hinted_until = now()
    FROM lost
    WHERE o.delivery_id = lost.delivery_id`;
}

const WORKER_LOST = 'worker_lost' satisfies keyof typeof ATTEMPT_ERRORS;
const WORKER_LOST_MESSAGE = ATTEMPT_ERRORS[WORKER_LOST];
