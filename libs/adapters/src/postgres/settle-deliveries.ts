import { BREAKER, isBreakerFailure } from '#domain/breaker.js';
import { ATTEMPT_ERRORS } from '#domain/error-codes.js';
import { latencyBucket } from '#domain/latency-histogram.js';
import { FAILING_TOLD_AGAIN_MINUTES, isOperationalEventType } from '#domain/operational-event.js';
import { HINT_TTL_MS, type Lane } from '#pipeline/hint-queue.js';
import { DELAYED_HINT_MS_MAX } from '#pipeline/dispatch.js';
import { LEASE_GRACE_MS, SLOW_LANE_MS, type Settled, type Settlement } from '#pipeline/delivery-store.js';
import { SLOW_AFTER_MS } from '#pipeline/in-flight.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { byDay, idRange } from './id-range.js';
import { hasListener } from './notices.js';
import { Prisma } from './generated/client.js';
import { plainArray } from './plain-array.js';

interface Row {
  position: bigint;
  verdict: 'succeeded' | 'failed' | 'cancelled' | 'single_failed' | 'retrying' | 'superseded';
  hint_number: number | null;
  lane: Lane | null;
}

/**
 * Writes attempts and what follows from them: the delivery's row, its open row, the endpoint's gate (health, lane,
 * breaker) and statistics, and after a 410 the end of the endpoint.
 *
 * A failure counts only under the lease it was made with. A success counts as long as the delivery is open, whoever
 * holds it by now. Every attempt goes to the log; one that was given up as `unknown` is corrected. A lease that a late
 * success of an earlier one takes the delivery from is logged as `unknown` at once: its number is used, whether or not its
 * result still comes, and a later retry by hand must not use it again.
 *
 * Of a merchant that is being erased, or was, no attempt is logged or counted: a result that comes late must not bring back
 * what the erasure has removed.
 */
export async function settleDeliveries(
  db: Statements,
  settlements: readonly Settlement[],
): Promise<Settled[]> {
  const results = new Map<Settlement, Settled>();
  for (const group of byDay(settlements, ({ claim }) => claim.deliveryId).flatMap(oneOfEachDelivery)) {
    const rows = await withDeadlockRetry(() => statement(db, group));
    for (const row of rows) {
      const settlement = group[Number(row.position) - 1] as Settlement;
      results.set(settlement, toSettled(row, settlement));
    }
  }
  return settlements.map((settlement) => results.get(settlement) ?? { kind: 'superseded' });
}

function statement(db: Statements, settlements: readonly Settlement[]): Promise<Row[]> {
  const of = <Value>(read: (settlement: Settlement) => Value) => settlements.map(read);
  const plain = (read: (settlement: Settlement) => string | number | boolean | null) => plainArray(of(read));
  const deliveryIds = of(({ claim }) => claim.deliveryId);
  const ids = plainArray(deliveryIds);
  const merchantIds = plainArray([...new Set(of(({ claim }) => claim.merchantId))]);
  // Most batches hold nothing but successes: all that only a failure can lead to is left out of their statement.
  const mayFail = settlements.some(({ step }) => step.kind !== 'succeeded');
  const afterFailures = (part: Prisma.Sql): Prisma.Sql => (mayFail ? part : Prisma.empty);
  const { low, high } = idRange(deliveryIds);
  return db.$queryRaw<Row[]>`
    WITH input AS (
      SELECT * FROM ROWS FROM (unnest(
        ${ids}::uuid[],
        ${plain(({ claim }) => claim.leaseToken)}::uuid[],
        ${plain(({ claim }) => claim.attemptId)}::uuid[],
        ${plain(({ claim }) => claim.merchantId)}::uuid[],
        ${plain(({ claim }) => claim.endpointId)}::uuid[],
        ${plain(({ claim }) => claim.attemptNumber)}::int[],
        ${plain(({ claim }) => claim.trigger)}::text[],
        ${plain(({ step }) => step.kind)}::text[],
        ${plain(({ step }) => (step.kind === 'retry' ? step.waitMs : 0))}::int[],
        ${plain(({ step }) => step.kind === 'failed' && step.isGone)}::boolean[],
        ${plain(({ attempt }) => attempt.startedAtMs)}::float8[],
        ${plain(({ attempt }) => attempt.durationMs)}::int[],
        ${plain(({ attempt }) => attempt.outcome)}::text[],
        ${plain(({ attempt }) => attempt.statusCode)}::int[],
        ${plain(({ attempt }) => attempt.errorCode)}::text[],
        ${of(({ attempt }) => attempt.errorMessage)}::text[],
        ${of(({ attempt }) => attempt.requestUrl)}::text[],
        ${of(({ attempt }) => attempt.responseBody)}::bytea[],
        ${plain(({ attempt }) => attempt.responseBodyTruncated)}::boolean[],
        ${of(({ attempt }) => attempt.remoteAddress)}::text[],
        ${plain(({ attempt }) => latencyBucket(attempt.durationMs))}::smallint[],
        ${plain(({ attempt }) => isBreakerFailure(attempt.outcome, attempt.statusCode))}::boolean[],
        ${plain(({ claim }) => isOperationalEventType(claim.event.type))}::boolean[]
      ), json_array_elements(${JSON.stringify(of(({ attempt }) => attempt.requestHeaders))}::json),
         json_array_elements(${JSON.stringify(of(({ attempt }) => attempt.responseHeaders))}::json)
      ) WITH ORDINALITY AS i (delivery_id, lease_token, attempt_id, merchant_id, endpoint_id, number, trigger, step,
                              wait_ms, is_gone, started_at_ms, duration_ms, outcome, status_code, error_code,
                              error_message, request_url, response_body, response_body_truncated, remote_address,
                              latency_bucket, is_breaker_failure, is_operational, request_headers, response_headers,
                              position)
    ), logged_merchants AS MATERIALIZED (
      SELECT id FROM merchants WHERE id = ANY (${merchantIds}::uuid[]) AND status = 'active'
    ), open AS (
      ${mayFail ? lockedOpen(ids) : closedOpen(ids)}
    ), decided AS (
      SELECT i.*, o.single, o.hint_number, o.is_leased,
             ${
               mayFail
                 ? Prisma.sql`o.lane, o.leased_at, CASE WHEN o.delivery_id IS NULL THEN 'superseded'
                  WHEN i.step = 'succeeded' THEN 'succeeded'
                  WHEN o.lease_token IS DISTINCT FROM i.lease_token THEN 'superseded'
                  WHEN o.single THEN 'single_failed'
                  WHEN i.step = 'failed' THEN 'failed'
                  WHEN o.is_closed THEN 'cancelled'
                  ELSE 'retrying'
             END`
                 : Prisma.sql`NULL AS lane, NULL::timestamptz AS leased_at, CASE WHEN o.delivery_id IS NULL THEN 'superseded' ELSE 'succeeded' END`
             } AS verdict
      FROM input i
      LEFT JOIN open o USING (delivery_id)
    ), displaced AS (
      SELECT o.delivery_id, o.attempt_id, o.attempt_number, o.trigger, e.url, decided.merchant_id,
             ${LEASED_AT} AS lease_started_at
      FROM decided
      JOIN open o ON o.delivery_id = decided.delivery_id AND o.is_leased AND o.lease_token <> decided.lease_token
      JOIN endpoints e ON e.id = o.endpoint_id
      WHERE decided.verdict = 'succeeded'
    ), logged_displaced AS (
      INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, error_code,
                            error_message, request_url, request_headers)
      SELECT attempt_id, delivery_id, merchant_id, attempt_number, trigger, lease_started_at,
             greatest(0, extract(epoch FROM now() - lease_started_at) * 1000)::int, 'unknown', ${WORKER_LOST},
             ${ATTEMPT_ERRORS[WORKER_LOST]}, url, '[]'
      FROM displaced
      WHERE merchant_id IN (SELECT id FROM logged_merchants)
      ON CONFLICT (id) DO NOTHING
    ), written_attempts AS (
      INSERT INTO attempts AS a (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome,
                                 status_code, error_code, error_message, request_url, request_headers,
                                 response_headers, response_body, response_body_truncated, remote_address)
      SELECT attempt_id, delivery_id, merchant_id, number, trigger, to_timestamp(started_at_ms / 1000), duration_ms,
             outcome, status_code, error_code, error_message, request_url, request_headers::text,
             nullif(response_headers::text, 'null'), response_body, response_body_truncated, remote_address
      FROM input
      WHERE merchant_id IN (SELECT id FROM logged_merchants)
      ON CONFLICT (id) DO UPDATE
        SET started_at = excluded.started_at, duration_ms = excluded.duration_ms, outcome = excluded.outcome,
            status_code = excluded.status_code, error_code = excluded.error_code,
            error_message = excluded.error_message, request_headers = excluded.request_headers,
            response_headers = excluded.response_headers, response_body = excluded.response_body,
            response_body_truncated = excluded.response_body_truncated, remote_address = excluded.remote_address
        WHERE a.outcome = 'unknown'
    ), written_deliveries AS (
      UPDATE deliveries d
      SET status = CASE
                     -- Never left, also where a recovery sends it again by the whole schedule.
                     WHEN d.status = 'succeeded' THEN d.status
                     WHEN decided.verdict = 'single_failed' THEN CASE d.status WHEN 'cancelled' THEN 'failed' ELSE d.status END
                     WHEN decided.verdict = 'superseded' THEN d.status
                     ELSE decided.verdict
                   END,
          completed_at = CASE
                           WHEN d.status = 'succeeded' THEN d.completed_at
                           WHEN decided.verdict = 'retrying' THEN NULL
                           WHEN decided.verdict IN ('single_failed', 'superseded') THEN d.completed_at
                           ELSE now()
                         END,
          attempt_count = greatest(d.attempt_count, decided.number,
                                   (SELECT attempt_number FROM displaced WHERE displaced.delivery_id = d.id)),
          last_number = CASE WHEN decided.verdict = 'superseded' THEN d.last_number ELSE decided.number END,
          last_outcome = CASE WHEN decided.verdict = 'superseded' THEN d.last_outcome ELSE decided.outcome END,
          last_status_code = CASE WHEN decided.verdict = 'superseded' THEN d.last_status_code ELSE decided.status_code END,
          last_error_code = CASE WHEN decided.verdict = 'superseded' THEN d.last_error_code ELSE decided.error_code END,
          last_duration_ms = CASE WHEN decided.verdict = 'superseded' THEN d.last_duration_ms ELSE decided.duration_ms END,
          error_code = CASE WHEN decided.verdict = 'superseded' THEN d.error_code END
      FROM decided
      WHERE d.id = decided.delivery_id AND d.id = ANY (${ids}::uuid[]) AND d.id BETWEEN ${low}::uuid AND ${high}::uuid
      RETURNING d.id, d.status
    ${afterFailures(Prisma.sql`), waiting AS (
      UPDATE open_deliveries o
      SET due_at = now() + decided.wait_ms * interval '1 millisecond',
          hinted_until = now() + (decided.wait_ms +
            CASE WHEN decided.wait_ms <= ${DELAYED_HINT_MS_MAX} THEN ${HINT_TTL_MS} ELSE 0 END) * interval '1 millisecond',
          hint_number = o.hint_number + 1,
          failures = o.failures + 1,
          trigger = 'retry',
          lease_token = NULL, lease_until = NULL, attempt_id = NULL
      FROM decided
      WHERE o.delivery_id = decided.delivery_id AND decided.verdict = 'retrying'
    ), closed AS (
      DELETE FROM open_deliveries o
      USING decided
      WHERE o.delivery_id = decided.delivery_id AND decided.verdict NOT IN ('retrying', 'superseded')
    ), gone AS (
      UPDATE endpoints e
      SET status = 'disabled', disabled_reason = 'gone', version = e.version + 1, updated_at = now()
      WHERE e.id IN (SELECT endpoint_id FROM decided WHERE is_gone AND verdict <> 'superseded')
        AND e.status <> 'disabled'
      RETURNING e.id, e.merchant_id
    ), gone_merchants AS (
      UPDATE merchants m SET config_version = m.config_version + 1
      WHERE m.id IN (SELECT merchant_id FROM gone)`)}
    ), counted AS (
      INSERT INTO delivery_stats AS s (endpoint_id, period_start, outcome, latency_bucket, merchant_id, attempts)
      SELECT endpoint_id, date_bin(${STATS_PERIOD}::interval, now(), 'epoch'), outcome, latency_bucket, merchant_id, count(*)
      FROM input
      WHERE merchant_id IN (SELECT id FROM logged_merchants)
      GROUP BY endpoint_id, outcome, latency_bucket, merchant_id
      ORDER BY endpoint_id, outcome, latency_bucket
      ON CONFLICT (endpoint_id, period_start, outcome, latency_bucket)
        DO UPDATE SET attempts = s.attempts + excluded.attempts
    ), gates AS (
      SELECT g.endpoint_id, g.merchant_id, g.breaker_state, g.window_started_at, g.window_attempts AS attempts_before,
             g.window_failures AS failures_before, g.failing_since, g.failing_told_at, g.is_failing_told,
             g.status = 'disabled' ${afterFailures(Prisma.sql`OR g.endpoint_id IN (SELECT id FROM gone)`)} AS is_closed, ended.*,
             -- What was claimed when the breaker opened, and fails after that, says nothing new.
             coalesce(ended.latest_leased_at > g.breaker_changed_at, false) AS is_probe
      FROM (SELECT endpoint_id AS id,
                   bool_or(step = 'succeeded') AS has_success,
                   count(*) FILTER (WHERE step <> 'succeeded')::int AS failures,
                   count(*)::int AS attempts,
                   max(leased_at) FILTER (WHERE verdict <> 'superseded') AS latest_leased_at,
                   count(*) FILTER (WHERE is_breaker_failure)::int AS breaker_failures,
                   bool_or(duration_ms > ${SLOW_AFTER_MS}) AS is_slow,
                   bool_or(step = 'succeeded' AND NOT is_operational) AS has_told_success,
                   count(*) FILTER (WHERE step <> 'succeeded' AND NOT is_operational)::int AS told_failures,
                   (array_agg(jsonb_build_object('outcome', outcome, 'status_code', status_code, 'error_code', error_code))
                      FILTER (WHERE step <> 'succeeded' AND NOT is_operational))[1] AS told_failure,
                   count(*) FILTER (WHERE verdict <> 'superseded' AND is_leased)::int AS leases
            FROM decided GROUP BY endpoint_id) AS ended
      JOIN endpoint_gates g ON g.endpoint_id = ended.id
      ORDER BY g.endpoint_id
      FOR UPDATE OF g
    ), windows AS (
      SELECT gates.*,
             CASE WHEN is_new THEN now() ELSE window_started_at END AS started_at,
             CASE WHEN is_new THEN 0 ELSE attempts_before END + attempts AS window_attempts,
             CASE WHEN is_new THEN 0 ELSE failures_before END + breaker_failures AS window_failures
      FROM gates
      CROSS JOIN LATERAL (
        SELECT window_started_at IS NULL
            OR window_started_at < now() - ${BREAKER.windowSeconds} * interval '1 second' AS is_new
      ) AS age
    ), verdicts AS (
      SELECT windows.*,
             CASE
               WHEN breaker_state = 'open' AND has_success THEN 'draining'
               WHEN breaker_state = 'open' THEN 'open'
               WHEN window_attempts >= ${BREAKER.attemptsMin}
                AND window_failures >= window_attempts * ${BREAKER.failureShareMin}::float8
                AND started_at <= now() - ${BREAKER.windowSecondsMin} * interval '1 second' THEN 'open'
               ELSE breaker_state
             END AS next_state,
             CASE
               WHEN is_closed THEN NULL
               WHEN has_told_success THEN CASE WHEN is_failing_told THEN 'webhook.recovered' END
               WHEN told_failures > 0 AND NOT is_failing_told
                AND (failing_told_at IS NULL
                     OR failing_told_at <= now() - ${FAILING_TOLD_AGAIN_MINUTES} * interval '1 minute') THEN 'webhook.failing'
             END AS notice
      FROM windows
    ), written_gates AS (
      UPDATE endpoint_gates g
      SET in_flight = g.in_flight - v.leases,
          consecutive_failures = CASE WHEN v.has_success THEN 0 ELSE g.consecutive_failures + v.failures END,
          last_success_at = CASE WHEN v.has_success THEN now() ELSE g.last_success_at END,
          last_failure_at = CASE WHEN v.failures > 0 THEN now() ELSE g.last_failure_at END,
          failing_since = CASE
            WHEN v.is_closed OR v.has_told_success THEN NULL
            WHEN v.told_failures > 0 THEN coalesce(g.failing_since, now())
            ELSE g.failing_since
          END,
          failing_until = CASE WHEN v.told_failures > 0 THEN now() ELSE g.failing_until END,
          failing_attempts = CASE
            WHEN v.is_closed OR v.has_told_success THEN 0
            ELSE g.failing_attempts + v.told_failures
          END,
          is_failing_told = NOT v.is_closed AND CASE v.notice
            WHEN 'webhook.failing' THEN true
            WHEN 'webhook.recovered' THEN false
            ELSE g.is_failing_told
          END,
          failing_told_at = CASE v.notice WHEN 'webhook.failing' THEN now() ELSE g.failing_told_at END,
          ${afterFailures(Prisma.sql`status = CASE WHEN v.endpoint_id IN (SELECT id FROM gone) THEN 'disabled' ELSE g.status END,`)}
          lane = CASE WHEN v.is_slow THEN 'slow' WHEN g.lane_until < now() THEN 'fast' ELSE g.lane END,
          lane_until = CASE WHEN v.is_slow THEN now() + ${SLOW_LANE_MS} * interval '1 millisecond' ELSE g.lane_until END,
          window_started_at = CASE WHEN v.next_state <> v.breaker_state THEN NULL ELSE v.started_at END,
          window_attempts = v.window_attempts,
          window_failures = v.window_failures,
          breaker_state = CASE
            WHEN v.next_state = 'draining' AND v.breaker_state = 'draining'
             AND g.breaker_changed_at < now() - ${BREAKER.drainSeconds} * interval '1 second' THEN 'closed'
            ELSE v.next_state
          END,
          breaker_changed_at = CASE WHEN v.next_state <> v.breaker_state THEN now() ELSE g.breaker_changed_at END,
          breaker_probe_wait_ms = CASE
            WHEN v.next_state <> 'open' THEN NULL
            WHEN v.breaker_state <> 'open' THEN ${BREAKER.probeWaitMsMin}
            WHEN NOT v.is_probe THEN g.breaker_probe_wait_ms
            ELSE least(g.breaker_probe_wait_ms * 2, ${BREAKER.probeWaitMsMax})
          END,
          breaker_probe_at = CASE
            WHEN v.next_state <> 'open' THEN NULL
            WHEN v.breaker_state <> 'open' THEN now() + ${BREAKER.probeWaitMsMin} * interval '1 millisecond'
            WHEN NOT v.is_probe THEN g.breaker_probe_at
            ELSE now() + least(g.breaker_probe_wait_ms * 2, ${BREAKER.probeWaitMsMax}) * interval '1 millisecond'
          END
      FROM verdicts v
      WHERE g.endpoint_id = v.endpoint_id
    ${afterFailures(Prisma.sql`), exhausted AS MATERIALIZED (
      SELECT decided.delivery_id, decided.endpoint_id, decided.merchant_id
      FROM decided
      JOIN written_deliveries d ON d.id = decided.delivery_id AND d.status = 'failed'
      WHERE decided.verdict = 'failed' AND NOT decided.is_gone AND NOT decided.is_operational`)}
    ), told AS (
      INSERT INTO notices (type, merchant_id, endpoint_id, delivery_id, facts)
      SELECT notice, merchant_id, endpoint_id, NULL::uuid,
             CASE notice
               WHEN 'webhook.failing' THEN jsonb_build_object('last_attempt', told_failure)
               ELSE jsonb_build_object('failing_since',
                                       to_char(failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
             END
      FROM verdicts WHERE notice IS NOT NULL
      ${afterFailures(Prisma.sql`UNION ALL
      SELECT 'webhook.disabled', merchant_id, id, NULL, '{"disabled_reason": "gone"}'::jsonb
      FROM gone
      WHERE id IN (SELECT endpoint_id FROM decided WHERE is_gone AND verdict <> 'superseded' AND NOT is_operational)
      UNION ALL
      SELECT 'delivery.exhausted', merchant_id, endpoint_id, delivery_id, '{}'
      FROM exhausted
      WHERE merchant_id IN (SELECT merchant_id
                            FROM (SELECT DISTINCT merchant_id FROM exhausted) AS of
                            WHERE ${hasListener('delivery.exhausted', Prisma.sql`of.merchant_id`)})`)}
    )
    SELECT position, verdict, hint_number + 1 AS hint_number, lane FROM decided`;
}

/** When an open delivery's lease began, by its endpoint's timeout as it is now. */
const LEASED_AT = Prisma.sql`o.lease_until - (e.timeout_ms + ${LEASE_GRACE_MS}) * interval '1 millisecond'`;

/** Locks what is open of these deliveries: what becomes of it depends on what it is. */
function lockedOpen(ids: string): Prisma.Sql {
  return Prisma.sql`
      SELECT o.delivery_id, o.endpoint_id, o.lease_token, o.single, o.hint_number, g.lane,
             o.lease_until IS NOT NULL AS is_leased, o.attempt_id, o.attempt_number, o.trigger, o.lease_until,
             ${LEASED_AT} AS leased_at, g.status = 'disabled' OR e.deleted_at IS NOT NULL AS is_closed
      FROM open_deliveries o
      JOIN endpoint_gates g ON g.endpoint_id = o.endpoint_id
      JOIN endpoints e ON e.id = o.endpoint_id
      WHERE o.delivery_id = ANY (${ids}::uuid[])
      ORDER BY o.delivery_id
      FOR UPDATE OF o`;
}

/** Ends what is open of deliveries that have succeeded, whoever holds it. */
function closedOpen(ids: string): Prisma.Sql {
  return Prisma.sql`
      DELETE FROM open_deliveries o
      WHERE o.delivery_id = ANY (${ids}::uuid[])
      RETURNING o.delivery_id, o.endpoint_id, o.lease_token, o.single, o.hint_number,
                o.lease_until IS NOT NULL AS is_leased, o.attempt_id, o.attempt_number, o.trigger, o.lease_until`;
}

const WORKER_LOST = 'worker_lost' satisfies keyof typeof ATTEMPT_ERRORS;

/** A month of these is some thousands of rows of an endpoint, and fine enough to see when trouble began. */
const STATS_PERIOD = '5 minutes';

/** Two results for one delivery, of which one is late, go to two statements: one statement changes a row only once. */
function oneOfEachDelivery(settlements: readonly Settlement[]): Settlement[][] {
  const waves: Map<string, Settlement>[] = [];
  for (const settlement of settlements) {
    const id = settlement.claim.deliveryId;
    const wave = waves.find((candidate) => !candidate.has(id));
    if (wave === undefined) waves.push(new Map([[id, settlement]]));
    else wave.set(id, settlement);
  }
  return waves.map((wave) => [...wave.values()]);
}

function toSettled(row: Row, { claim, step }: Settlement): Settled {
  switch (row.verdict) {
    case 'superseded':
      return { kind: 'superseded' };
    case 'retrying':
      return {
        kind: 'retrying',
        next: {
          deliveryId: claim.deliveryId,
          endpointId: claim.endpointId,
          lane: row.lane ?? 'fast',
          hintNumber: row.hint_number ?? 0,
          delayMs: step.kind === 'retry' ? step.waitMs : 0,
        },
      };
    case 'succeeded':
    case 'failed':
    case 'cancelled':
    case 'single_failed':
      return { kind: 'final' };
  }
}
