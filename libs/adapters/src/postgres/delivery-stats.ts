import { type Outcome, OUTCOMES } from '#domain/attempt-outcome.js';
import { LatencyHistogram } from '#domain/latency-histogram.js';
import type { StatsWindow } from '#domain/stats-window.js';
import type { Statements } from './database.js';
import { Prisma } from './generated/client.js';

/** The durations of attempts, by how they ended; an outcome that did not occur is absent. */
export type OutcomeCounts = ReadonlyMap<Outcome, LatencyHistogram>;

interface Row {
  readonly periodStart: Date;
  /** JSON text of {@link Packed}, parsed here because the driver takes several times as long over it. */
  readonly counts: string;
}

type Packed = Readonly<Partial<Record<Outcome, readonly (readonly [bucket: number, count: number])[]>>>;

/**
 * An endpoint's attempts in a window, from the rollups alone.
 *
 * @returns one for each step of the window, in order
 */
export async function readStats(
  db: Statements,
  endpoint: { readonly id: string; readonly merchantId: string },
  window: StatsWindow,
): Promise<OutcomeCounts[]> {
  const rows = await db.$queryRaw<Row[]>(statsQuery(endpoint, window));
  const { fromMs, toMs, stepMs } = window;
  const steps = Array.from({ length: (toMs - fromMs) / stepMs }, () => new Map<Outcome, LatencyHistogram>());
  for (const { periodStart, counts } of rows) {
    const step = steps[Math.floor((periodStart.getTime() - fromMs) / stepMs)];
    if (step !== undefined) add(step, JSON.parse(counts) as Packed);
  }
  return steps;
}

/** One statement, and so one snapshot: what is counted moves from the one table to the other. */
export function statsQuery(
  { id, merchantId }: { readonly id: string; readonly merchantId: string },
  { fromMs, toMs, stepMs }: StatsWindow,
): Prisma.Sql {
  const [from, to] = [new Date(fromMs), new Date(toMs)];
  return Prisma.sql`
    SELECT period_start AS "periodStart", counts::text AS counts
    FROM delivery_stats_packed
    WHERE endpoint_id = ${id}::uuid AND merchant_id = ${merchantId}::uuid
      AND period_start >= ${from}::timestamptz AND period_start < ${to}::timestamptz
    UNION ALL
    SELECT step, jsonb_build_object(outcome, jsonb_agg(jsonb_build_array(latency_bucket, attempts)))::text
    FROM (SELECT date_bin(${stepMs} * interval '1 millisecond', period_start, ${from}::timestamptz) AS step, outcome,
                 latency_bucket, sum(attempts) AS attempts
          FROM delivery_stats
          WHERE endpoint_id = ${id}::uuid AND merchant_id = ${merchantId}::uuid AND period_start >= ${from}::timestamptz
            AND period_start < ${to}::timestamptz
          GROUP BY 1, 2, 3) AS unpacked
    GROUP BY step, outcome`;
}

function add(step: Map<Outcome, LatencyHistogram>, counts: Packed): void {
  for (const outcome of OUTCOMES) {
    const pairs = counts[outcome];
    if (pairs === undefined) continue;
    let histogram = step.get(outcome);
    if (histogram === undefined) step.set(outcome, (histogram = new LatencyHistogram()));
    for (const [bucket, count] of pairs) histogram.add(bucket, count);
  }
}
