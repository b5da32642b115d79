import type { Statements } from './database.js';

/**
 * Keeps `delivery_stats` small enough to be read for a month in some milliseconds: five-minute rows that are older than any
 * window of steps below an hour are added to the row of their hour, and rows that are too old for any window go. Reading
 * needs to know nothing of it, because a row of an hour is one whose period begins with the hour.
 *
 * Settle writes to the present period only, so nothing else writes what is compacted. Any part of it may be done twice.
 *
 * @param forgetBefore rows of periods before it go
 */
export async function compactStats(
  db: Statements,
  forgetBefore: Date,
  mayGoOn: () => boolean,
): Promise<void> {
  let after = '00000000-0000-0000-0000-000000000000';
  while (mayGoOn()) {
    const endpoints = await db.$queryRaw<{ id: string }[]>`
      SELECT id FROM endpoints WHERE id > ${after}::uuid ORDER BY id LIMIT ${ENDPOINTS_PER_STATEMENT}`;
    const last = endpoints.at(-1);
    if (last === undefined) return;
    after = last.id;
    const ids = endpoints.map(({ id }) => id);
    for (const statement of [forget, mergeIntoHours]) {
      while (mayGoOn() && (await statement(db, ids, forgetBefore)) === ROWS_PER_STATEMENT_MAX);
    }
  }
}

function forget(db: Statements, endpointIds: readonly string[], before: Date): Promise<number> {
  return db.$executeRaw`
    DELETE FROM delivery_stats
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM delivery_stats
                            WHERE endpoint_id = ANY (${endpointIds}::uuid[]) AND period_start < ${before}::timestamptz
                            LIMIT ${ROWS_PER_STATEMENT_MAX}))`;
}

async function mergeIntoHours(db: Statements, endpointIds: readonly string[]): Promise<number> {
  const [row] = await db.$queryRaw<{ merged: number }[]>`
    WITH fine AS (
      DELETE FROM delivery_stats
      WHERE ctid = ANY (ARRAY(SELECT ctid FROM delivery_stats
                              WHERE endpoint_id = ANY (${endpointIds}::uuid[])
                                AND period_start < now() - ${FINE_HOURS} * interval '1 hour'
                                AND period_start <> date_bin('1 hour', period_start, 'epoch')
                              LIMIT ${ROWS_PER_STATEMENT_MAX}))
      RETURNING endpoint_id, date_bin('1 hour', period_start, 'epoch') AS hour, outcome, latency_bucket, merchant_id,
                attempts
    ), added AS (
      INSERT INTO delivery_stats AS s (endpoint_id, period_start, outcome, latency_bucket, merchant_id, attempts)
      SELECT endpoint_id, hour, outcome, latency_bucket, merchant_id, sum(attempts)
      FROM fine GROUP BY 1, 2, 3, 4, 5
      ON CONFLICT (endpoint_id, period_start, outcome, latency_bucket)
        DO UPDATE SET attempts = s.attempts + excluded.attempts
    )
    SELECT count(*)::int AS merged FROM fine`;
  return row?.merged ?? 0;
}

/** Windows of up to 45 hours have steps below an hour; the rest is for those that end a step later. */
const FINE_HOURS = 48;
const ENDPOINTS_PER_STATEMENT = 100;
/** Some hundred milliseconds. */
const ROWS_PER_STATEMENT_MAX = 20_000;
