import {
  type Candidate,
  planBatch,
  type RecoverableStatus,
  type RecoveredBatch,
  type RecoveryStore,
  roomOf,
} from '#pipeline/recover.js';
import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { HAS_PAYLOAD } from './event-payload.js';
import { REOPENED_HINT_NUMBER } from './hint-number.js';
import { byDay, idRange } from './id-range.js';
import { IS_CARRIED, isWanted, nextCandidates, type RecoveryScope } from './recoverable.js';

interface RunningRow {
  readonly id: string;
  readonly endpointId: string;
  readonly merchantId: string;
  readonly since: Date;
  readonly until: Date;
  readonly statuses: RecoverableStatus[];
  readonly eventTypes: string[];
  readonly createdAt: Date;
  readonly position: string | null;
  /** Null: no rate. */
  readonly tokens: number | null;
  readonly isClosed: boolean;
}

/** The port of recovering on PostgreSQL. */
export class PostgresRecoveryStore implements RecoveryStore {
  constructor(private readonly db: Database) {}

  recoverBatch(deliveriesMax: number): Promise<RecoveredBatch | null> {
    return withDeadlockRetry(() => this.db.$transaction((tx) => recoverBatch(tx, deliveriesMax)));
  }
}

async function recoverBatch(tx: Statements, deliveriesMax: number): Promise<RecoveredBatch | null> {
  const running = await lockNext(tx);
  if (running === null) return null;
  const { id, position } = running;
  if (running.isClosed) {
    await tx.$executeRaw`UPDATE recoveries SET status = 'cancelled', completed_at = now() WHERE id = ${id}::uuid`;
    return { recoveryId: id, reopened: 0, status: 'cancelled' };
  }
  const scope: RecoveryScope = { ...running, asOf: running.createdAt };
  const candidates = await tx.$queryRaw<Candidate[]>`
    SELECT d.id, d.is_wanted AS "isWanted"
    FROM (${nextCandidates(scope, position, deliveriesMax)}) AS d ORDER BY d.id`;
  const plan = planBatch(candidates, roomOf(running.tokens, deliveriesMax), deliveriesMax);
  let reopened = 0;
  for (const ofOneDay of byDay(plan.wanted, (deliveryId) => deliveryId)) {
    reopened += await reopen(tx, id, scope, ofOneDay);
  }
  const status = plan.isLast ? 'completed' : 'running';
  await tx.$executeRaw`
    UPDATE recoveries
    SET position = ${plan.position ?? position}::uuid, done = done + ${reopened},
        skipped = skipped + ${plan.wanted.length - reopened}, status = ${status},
        rate_tokens = ${running.tokens === null ? 0 : running.tokens - reopened}::float8, batch_at = now(),
        completed_at = CASE WHEN ${plan.isLast} THEN now() END
    WHERE id = ${id}::uuid`;
  return { recoveryId: id, reopened, status };
}

/** The running recovery whose latest batch is the longest ago, locked until this transaction ends. */
async function lockNext(tx: Statements): Promise<RunningRow | null> {
  const [row] = await tx.$queryRaw<RunningRow[]>`
    SELECT r.id, r.endpoint_id AS "endpointId", r.merchant_id AS "merchantId", r.since, r.until, r.statuses,
           coalesce(r.event_types, '{}') AS "eventTypes", r.created_at AS "createdAt", r.position, bucket.tokens,
           g.status = 'disabled' OR e.deleted_at IS NOT NULL AS "isClosed"
    FROM recoveries r
    JOIN endpoints e ON e.id = r.endpoint_id
    JOIN endpoint_gates g ON g.endpoint_id = r.endpoint_id
    CROSS JOIN LATERAL (
      SELECT least(r.rate_per_second::float8,
                   r.rate_tokens + r.rate_per_second * extract(epoch FROM now() - r.batch_at)::float8) AS tokens
    ) AS bucket
    WHERE r.status = 'running' AND (r.rate_per_second IS NULL OR bucket.tokens >= 1)
    ORDER BY r.batch_at
    LIMIT 1
    FOR UPDATE OF r SKIP LOCKED`;
  return row ?? null;
}

/**
 * Opens deliveries again whose status is still one that was asked for. One that is being tried once more by hand becomes
 * the recovery's, unless that attempt is in flight.
 *
 * @param deliveryIds of one day, and so of one partition
 * @returns how many were opened
 */
async function reopen(
  tx: Statements,
  recoveryId: string,
  scope: RecoveryScope,
  deliveryIds: readonly string[],
): Promise<number> {
  const { low, high } = idRange(deliveryIds);
  const [row] = await tx.$queryRaw<{ reopened: number }[]>`
    WITH locked AS MATERIALIZED (
      SELECT d.id, d.event_id, d.endpoint_id, d.merchant_id, d.attempt_count, d.payload_format
      FROM deliveries d
      WHERE d.id = ANY (${[...deliveryIds]}::uuid[]) AND d.id BETWEEN ${low}::uuid AND ${high}::uuid
        AND ${isWanted(scope)} AND ${IS_CARRIED}
      ORDER BY d.id
      FOR UPDATE
    ), opened AS (
      INSERT INTO open_deliveries AS o (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, hint_number,
                                        attempt_number, trigger, recovery_id, payload_format, data_bytes)
      SELECT l.id, l.event_id, l.endpoint_id, l.merchant_id,
             -- A microsecond apart: the sweep takes them in the order in which they were made. Not now(): that is when the
             -- transaction began, and one that began first may get the recovery after another.
             statement_timestamp() + row_number() OVER (ORDER BY l.id) * interval '1 microsecond', now(), ${REOPENED_HINT_NUMBER},
             l.attempt_count, 'recovery', ${recoveryId}::uuid, l.payload_format, ev.data_bytes
      FROM locked l
      CROSS JOIN LATERAL (
        SELECT octet_length(e.data) AS data_bytes FROM events e
        WHERE e.id = l.event_id AND e.id BETWEEN ${low}::uuid AND ${high}::uuid AND ${HAS_PAYLOAD} OFFSET 0
        -- So that it is not masked before its delivery is open, which keeps it from being masked.
        FOR SHARE
      ) AS ev
      ORDER BY l.id
      ON CONFLICT (delivery_id) DO UPDATE
        SET single = false, failures = 0, trigger = 'recovery', recovery_id = excluded.recovery_id
        WHERE o.single AND o.lease_until IS NULL
      RETURNING o.delivery_id
    ), reopened AS (
      UPDATE deliveries d
      SET status = CASE WHEN d.status = 'succeeded' THEN d.status
                        WHEN d.attempt_count = 0 THEN 'pending'
                        ELSE 'retrying' END,
          completed_at = CASE WHEN d.status = 'succeeded' THEN d.completed_at END,
          error_code = NULL
      FROM opened
      WHERE d.id = opened.delivery_id AND d.id = ANY (${[...deliveryIds]}::uuid[])
        AND d.id BETWEEN ${low}::uuid AND ${high}::uuid
    )
    SELECT count(*)::int AS reopened FROM opened`;
  return row?.reopened ?? 0;
}
