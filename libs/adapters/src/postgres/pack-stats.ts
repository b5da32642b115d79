import { STATS_WIDTHS } from '#domain/stats-window.js';
import type { Statements } from './database.js';

/**
 * Keeps a month of an endpoint small enough to be read in some milliseconds: what settle has counted goes into one row for
 * each period that is over, and the older it is, the wider the period. What is too old for any window goes.
 *
 * Counts are moved within one statement, so whoever reads finds each of them once, packed or not; and settle writes to the
 * present period only, so nobody else writes what is packed. To be called by one process at a time.
 */
export async function packStats(
  db: Statements,
  { forgetBeforeMs, mayGoOn }: { readonly forgetBeforeMs: number; readonly mayGoOn: () => boolean },
): Promise<void> {
  let after = '00000000-0000-0000-0000-000000000000';
  while (mayGoOn()) {
    const endpoints = await db.$queryRaw<{ id: string }[]>`
      SELECT id FROM endpoints WHERE id > ${after}::uuid ORDER BY id LIMIT ${ENDPOINTS_PER_STATEMENT}`;
    const last = endpoints.at(-1);
    if (last === undefined) return;
    after = last.id;
    const ids = endpoints.map(({ id }) => id);
    // From the oldest on, so that what was left for long is packed once and not at every width.
    for (const { olderThanMs, widthMs } of STATS_WIDTHS) {
      const limit = Math.max(1, Math.floor(PACKED_MS_PER_STATEMENT / widthMs));
      let packed = limit;
      while (packed === limit && mayGoOn()) packed = await pack(db, ids, { olderThanMs, widthMs, limit });
    }
    await forget(db, ids, new Date(forgetBeforeMs));
  }
}

/** @returns how many periods were made */
async function pack(
  db: Statements,
  endpointIds: readonly string[],
  {
    olderThanMs,
    widthMs,
    limit,
  }: { readonly olderThanMs: number; readonly widthMs: number; readonly limit: number },
): Promise<number> {
  const [row] = await db.$queryRaw<{ packed: number }[]>`
    WITH width AS (
      SELECT w.width, date_bin(w.width, now() - ${olderThanMs} * interval '1 millisecond', 'epoch') AS before
      FROM (SELECT ${widthMs} * interval '1 millisecond' AS width) AS w
    ), targets AS MATERIALIZED (
      SELECT s.endpoint_id, date_bin(width, s.period_start, 'epoch') AS period
      FROM width, delivery_stats s
      WHERE s.endpoint_id = ANY (${endpointIds}::uuid[]) AND s.period_start < before
      UNION
      SELECT p.endpoint_id, date_bin(width, p.period_start, 'epoch')
      FROM width, delivery_stats_packed p
      WHERE p.endpoint_id = ANY (${endpointIds}::uuid[]) AND p.period_start < before
        AND p.period_start <> date_bin(width, p.period_start, 'epoch')
      LIMIT ${limit}
    ), counted AS (
      DELETE FROM delivery_stats s
      USING targets t, width
      WHERE s.endpoint_id = t.endpoint_id AND s.period_start >= t.period AND s.period_start < t.period + width
      RETURNING t.endpoint_id, t.period, s.merchant_id, s.outcome, s.latency_bucket, s.attempts
    ), repacked AS (
      DELETE FROM delivery_stats_packed p
      USING targets t, width
      WHERE p.endpoint_id = t.endpoint_id AND p.period_start >= t.period AND p.period_start < t.period + width
      RETURNING t.endpoint_id, t.period, p.merchant_id, p.counts
    ), merged AS (
      SELECT endpoint_id, period, merchant_id, outcome, latency_bucket, sum(attempts)::bigint AS attempts
      FROM (SELECT * FROM counted
            UNION ALL
            SELECT r.endpoint_id, r.period, r.merchant_id, o.key, (b.value ->> 0)::smallint, (b.value ->> 1)::bigint
            FROM repacked r, json_each(r.counts) AS o, json_array_elements(o.value) AS b) AS parts
      GROUP BY 1, 2, 3, 4, 5
    ), written AS (
      INSERT INTO delivery_stats_packed (endpoint_id, period_start, merchant_id, counts)
      SELECT endpoint_id, period, merchant_id, json_object_agg(outcome, buckets)
      FROM (SELECT endpoint_id, period, merchant_id, outcome,
                   json_agg(json_build_array(latency_bucket, attempts) ORDER BY latency_bucket) AS buckets
            FROM merged GROUP BY 1, 2, 3, 4) AS by_outcome
      GROUP BY 1, 2, 3
    )
    SELECT count(*)::int AS packed FROM targets`;
  return row?.packed ?? 0;
}

function forget(db: Statements, endpointIds: readonly string[], before: Date): Promise<number> {
  return db.$executeRaw`
    DELETE FROM delivery_stats_packed
    WHERE endpoint_id = ANY (${endpointIds}::uuid[]) AND period_start < ${before}::timestamptz`;
}

const ENDPOINTS_PER_STATEMENT = 100;
/** 400 periods of five minutes, with some dozens of rows each in the worst case: some hundred milliseconds. */
const PACKED_MS_PER_STATEMENT = 400 * 300_000;
