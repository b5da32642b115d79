import type { Outcome } from '#domain/attempt-outcome.js';
import type { StatsWindow } from '#domain/stats-window.js';
import type { Statements } from './database.js';
import { Prisma } from './generated/client.js';

/** Attempts of one step of a window that ended alike and took about as long. */
export interface StatsRow {
  readonly stepStart: Date;
  readonly outcome: Outcome;
  readonly bucket: number;
  readonly count: number;
}

/** An endpoint's attempts in a window, counted by step, outcome and bucket of their durations: from the rollups alone. */
export function readStats(db: Statements, endpointId: string, window: StatsWindow): Promise<StatsRow[]> {
  return db.$queryRaw<StatsRow[]>(statsQuery(endpointId, window));
}

export function statsQuery(endpointId: string, { fromMs, toMs, stepMs }: StatsWindow): Prisma.Sql {
  const from = new Date(fromMs);
  return Prisma.sql`
    SELECT date_bin(${stepMs} * interval '1 millisecond', period_start, ${from}::timestamptz) AS "stepStart", outcome,
           latency_bucket AS bucket, sum(attempts)::float8 AS count
    FROM delivery_stats
    WHERE endpoint_id = ${endpointId}::uuid AND period_start >= ${from}::timestamptz
      AND period_start < ${new Date(toMs)}::timestamptz
    GROUP BY 1, 2, 3`;
}
