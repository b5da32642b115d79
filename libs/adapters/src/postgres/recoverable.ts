import { uuidFloor } from '#domain/ids.js';
import type { RecoverableStatus } from '#pipeline/recover.js';
import type { Statements } from './database.js';
import { HAS_PAYLOAD } from './event-payload.js';
import { Prisma } from './generated/client.js';

/** Which deliveries of an endpoint a recovery is about. */
export interface RecoveryScope {
  readonly endpointId: string;
  readonly merchantId: string;
  /** When the deliveries were made: from, inclusive, and until, exclusive. */
  readonly since: Date;
  readonly until: Date;
  readonly statuses: readonly RecoverableStatus[];
  /** Empty: all. */
  readonly eventTypes: readonly string[];
  /** What became final later is left out, so that what a recovery is about does not grow while it runs. */
  readonly asOf: Date;
}

/**
 * The next deliveries in the order of their ids that may be in the scope, as SQL: `id`, `event_id`, and whether the scope
 * asks for them, `is_wanted`. A statement looks at so many rows and no more, however few of them are wanted. Those that
 * failed or were cancelled have an index of their own.
 *
 * @param afterId null: from the beginning
 */
export function nextCandidates(scope: RecoveryScope, afterId: string | null, rowsMax: number): Prisma.Sql {
  const from = uuidFloor(Math.max(0, scope.since.getTime()));
  const bounds = Prisma.sql`
    d.endpoint_id = ${scope.endpointId}::uuid
    AND ${afterId === null ? Prisma.sql`d.id >= ${from}::uuid` : Prisma.sql`d.id > ${afterId}::uuid`}
    AND d.id < ${uuidFloor(Math.max(0, scope.until.getTime()))}::uuid`;
  const rows = (where: Prisma.Sql): Prisma.Sql => Prisma.sql`
    (SELECT d.id, d.event_id, d.merchant_id, ${isWanted(scope)} AS is_wanted, d.error_code
     FROM deliveries d WHERE ${where} ORDER BY d.id LIMIT ${rowsMax})`;
  // The merchant is asked for out here, around the rows: within, beside an endpoint, it would mislead the planner.
  const owned = (candidates: Prisma.Sql): Prisma.Sql => Prisma.sql`
    (SELECT * FROM (${candidates}) AS d WHERE d.merchant_id = ${scope.merchantId}::uuid)`;
  if (scope.statuses.includes('succeeded')) return owned(rows(bounds));
  const ofEach = scope.statuses.map((status) => rows(Prisma.sql`${bounds} AND d.rare_status = ${status}`));
  return owned(Prisma.sql`
    SELECT * FROM (${Prisma.join(ofEach, ' UNION ALL ')}) AS d ORDER BY d.id LIMIT ${rowsMax}`);
}

/** Whether the scope asks for `deliveries d`, apart from its endpoint and time, as SQL. */
export function isWanted({ statuses, eventTypes, asOf }: RecoveryScope): Prisma.Sql {
  const ofType =
    eventTypes.length === 0 ? Prisma.empty : Prisma.sql`AND d.event_type = ANY (${[...eventTypes]}::text[])`;
  return Prisma.sql`
    (d.status = ANY (${[...statuses]}::text[]) AND d.completed_at <= ${asOf} ${ofType})`;
}

/** Whether `deliveries d` could be sent at all, whatever became of its data: nothing carries an event in a format that cannot. */
export const IS_CARRIED = Prisma.sql`d.error_code IS DISTINCT FROM 'payload_conflict'`;

/** The end of this millisecond on PostgreSQL's clock: whatever was final before the call was so by then, as its row has it. */
export async function recoveryMoment(db: Statements): Promise<Date> {
  const [row] = await db.$queryRaw<{ moment: Date }[]>`
    SELECT date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond' AS moment`;
  if (row === undefined) throw new Error('the clock answered nothing');
  return row.moment;
}

export interface RecoverableCount {
  readonly recoverable: number;
  /** In the scope, and not to be sent again: the event is gone or erased, or its format cannot carry it. */
  readonly lost: number;
}

/** Counts what a recovery would open, a bounded number of rows a statement. */
export async function countRecoverable(db: Statements, scope: RecoveryScope): Promise<RecoverableCount> {
  let recoverable = 0;
  let lost = 0;
  let afterId: string | null = null;
  for (;;) {
    const rows: { rows: number; last: string | null; wanted: number; recoverable: number }[] =
      await db.$queryRaw`
        SELECT count(*)::int AS rows, (array_agg(d.id ORDER BY d.id DESC))[1] AS last,
               count(*) FILTER (WHERE is_wanted)::int AS wanted,
               count(*) FILTER (WHERE is_wanted AND ${IS_CARRIED} AND has_payload)::int AS recoverable
        FROM (${nextCandidates(scope, afterId, ROWS_PER_COUNT)}) AS d
        LEFT JOIN LATERAL (
          SELECT ${HAS_PAYLOAD} AS has_payload FROM events e WHERE d.is_wanted AND e.id = d.event_id OFFSET 0
        ) AS ev ON true`;
    const [counted] = rows;
    if (counted === undefined) throw new Error('the count answered nothing');
    recoverable += counted.recoverable;
    lost += counted.wanted - counted.recoverable;
    if (counted.rows < ROWS_PER_COUNT) return { recoverable, lost };
    afterId = counted.last;
  }
}

/** Some tens of milliseconds a statement. */
const ROWS_PER_COUNT = 5_000;
