import { type DeliveryStatus, isFinal, type Outcome } from '#domain/attempt-outcome.js';
import { uuidCeil, uuidFloor, uuidTimeMs } from '#domain/ids.js';
import { Prisma } from './generated/client.js';

/** What is asked of the log. Whatever is named has to hold; the rest does not matter. */
export interface DeliveryFilter {
  readonly merchantId?: string | undefined;
  /** Of `merchantId`, where that is given too. */
  readonly endpointId?: string | undefined;
  readonly status?: DeliveryStatus | undefined;
  /** Of the last attempt that has ended. */
  readonly outcome?: Outcome | undefined;
  /** Of the last attempt that has ended. */
  readonly statusCode?: number | undefined;
  readonly eventType?: string | undefined;
  /** Any of these events. */
  readonly eventIds?: readonly string[] | undefined;
  /** Unix milliseconds, inclusive. */
  readonly createdAfterMs?: number | undefined;
  /** Unix milliseconds, exclusive. */
  readonly createdBeforeMs?: number | undefined;
}

export interface PageRequest {
  /** The id that all rows of the page are older than; null: from the newest. */
  readonly beforeId: string | null;
  readonly rowsMax: number;
}

/** Names `deliveries d` has to be in scope. */
export const DELIVERY_COLUMNS = Prisma.sql`
  d.id, d.event_id, d.endpoint_id, d.merchant_id, d.event_type, d.payload_format, d.status, d.attempt_count,
  d.last_number, d.last_outcome, d.last_status_code, d.last_error_code, d.last_duration_ms, d.error_code, d.completed_at`;

/**
 * The newest deliveries that fit, as SQL; null when none can.
 *
 * Each predicate is written so that an index of (scope, value, id) fits it and already yields the order, partition by
 * partition from the newest: PostgreSQL stops when the page is full. Times are ranges of ids, because ids carry their
 * time: partitions outside are not touched.
 */
export function deliveryPage(filter: DeliveryFilter, page: PageRequest): Prisma.Sql | null {
  if (filter.eventIds?.length === 0 || isContradiction(filter)) return null;
  const range = idRange(filter, page);
  if (range === null) return null;
  const conditions = [...idBounds(range, 'd.id'), ...values(filter), Prisma.sql`true`];
  if (filter.status === undefined || isFinal(filter.status)) return newest(filter, conditions, page.rowsMax);
  const where = Prisma.join([...scope(filter), ...conditions], ' AND ');
  // What is open is few among what was ever delivered, so these start from the small table. LIMIT 1, true of a key,
  // keeps the planner from turning the look-ups around into a scan of the log. A final delivery has an open row while
  // it is tried once more by hand.
  const open = Prisma.join(
    [
      ...openScope(filter),
      ...idBounds(range, 'o.delivery_id'),
      Prisma.sql`NOT o.single`,
      ofPaused(filter, filter.status === 'held'),
    ],
    ' AND ',
  );
  return Prisma.sql`
    SELECT ${DELIVERY_COLUMNS}
    FROM open_deliveries o
    CROSS JOIN LATERAL (SELECT * FROM deliveries d WHERE d.id = o.delivery_id AND ${where} LIMIT 1) d
    WHERE ${open}
    ORDER BY o.delivery_id DESC LIMIT ${page.rowsMax}`;
}

/**
 * The endpoint or merchant, and how many rows are wanted, are kept from the planner. Of a large one it would walk everybody's
 * rows in the belief that enough of them fit, which is the whole log where hardly any does; of a small one it would sort what
 * fits, which is much where this one is not small after all. So it is left with the index that has both filter and order.
 */
function newest(filter: DeliveryFilter, conditions: readonly Prisma.Sql[], rowsMax: number): Prisma.Sql {
  const { endpointId, merchantId } = filter;
  const where = Prisma.join([...conditions], ' AND ');
  const id = endpointId ?? merchantId;
  if (id === undefined)
    return Prisma.sql`SELECT ${DELIVERY_COLUMNS} FROM deliveries d WHERE ${where} ORDER BY d.id DESC LIMIT ${rowsMax}`;
  const column = endpointId === undefined ? Prisma.sql`d.merchant_id` : Prisma.sql`d.endpoint_id`;
  return Prisma.sql`
    SELECT ${DELIVERY_COLUMNS}
    FROM (SELECT ${id}::uuid AS id OFFSET 0) AS scope
    CROSS JOIN LATERAL (SELECT * FROM deliveries d WHERE ${column} = scope.id AND ${where}
                        ORDER BY d.id DESC LIMIT (SELECT ${rowsMax}::bigint)) AS d`;
}

/** What no delivery can be, so that nobody has to look through all that is half of it. */
function isContradiction({ status, outcome, statusCode }: DeliveryFilter): boolean {
  if (status === 'pending') return outcome !== undefined || statusCode !== undefined;
  return outcome === 'succeeded' && status !== undefined && status !== 'succeeded';
}

interface IdRange {
  /** Inclusive. */
  readonly from: string | null;
  /** Exclusive. */
  readonly to: string | null;
}

/** Both kinds of bounds as one, so that the planner sees the narrower. Null when nothing lies between them. */
function idRange(
  { createdAfterMs, createdBeforeMs }: DeliveryFilter,
  { beforeId }: PageRequest,
): IdRange | null {
  const from = createdAfterMs === undefined ? null : uuidFloor(Math.max(0, createdAfterMs));
  const ends = [beforeId, createdBeforeMs === undefined ? null : uuidFloor(Math.max(0, createdBeforeMs))];
  const to = ends.filter((end) => end !== null).sort()[0] ?? null;
  return from !== null && to !== null && from >= to ? null : { from, to };
}

function idBounds({ from, to }: IdRange, column: 'd.id' | 'o.delivery_id'): Prisma.Sql[] {
  const name = Prisma.raw(column);
  return [
    ...(from === null ? [] : [Prisma.sql`${name} >= ${from}::uuid`]),
    ...(to === null ? [] : [Prisma.sql`${name} < ${to}::uuid`]),
  ];
}

/**
 * An endpoint belongs to one merchant, which the caller has made sure of and `withDetails` asks once more. To name both
 * here would make the planner believe that it takes two coincidences for a row to fit, and so that there is little to sort.
 */
function scope({ merchantId, endpointId }: DeliveryFilter): Prisma.Sql[] {
  if (endpointId !== undefined) return [Prisma.sql`d.endpoint_id = ${endpointId}::uuid`];
  return merchantId === undefined ? [] : [Prisma.sql`d.merchant_id = ${merchantId}::uuid`];
}

/** Both: there is an order by the merchant only, and the rows of an endpoint, where those are fewer, can be sorted. */
function openScope({ merchantId, endpointId }: DeliveryFilter): Prisma.Sql[] {
  return [
    ...(merchantId === undefined ? [] : [Prisma.sql`o.merchant_id = ${merchantId}::uuid`]),
    ...(endpointId === undefined ? [] : [Prisma.sql`o.endpoint_id = ${endpointId}::uuid`]),
  ];
}

/** Whether an endpoint is paused, as a SELECT of one value; of none, where there is no gate. */
export function isPaused(endpointId: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`SELECT g.status = 'paused' FROM endpoint_gates g WHERE g.endpoint_id = ${endpointId}`;
}

/**
 * Open deliveries of endpoints that are paused, or of the others. Of one endpoint that is asked once; else row by row and
 * before the log is looked at, because a join might be turned into a scan.
 */
function ofPaused({ endpointId }: DeliveryFilter, wanted: boolean): Prisma.Sql {
  const endpoint = endpointId === undefined ? Prisma.sql`o.endpoint_id` : Prisma.sql`${endpointId}::uuid`;
  return wanted
    ? Prisma.sql`(${isPaused(endpoint)}) IS TRUE`
    : Prisma.sql`(${isPaused(endpoint)}) IS NOT TRUE`;
}

/** The common values have no index: nearly every row that is walked past has them. The rare ones have their own. */
function values({ status, outcome, statusCode, eventType, eventIds }: DeliveryFilter): Prisma.Sql[] {
  const conditions: Prisma.Sql[] = [];
  if (status === 'failed' || status === 'cancelled') conditions.push(Prisma.sql`d.rare_status = ${status}`);
  else if (status === 'held') conditions.push(Prisma.sql`d.status IN ('pending', 'retrying')`);
  else if (status !== undefined) conditions.push(Prisma.sql`d.status = ${status}`);
  if (outcome === 'succeeded') conditions.push(Prisma.sql`d.last_outcome = ${outcome}`);
  else if (outcome !== undefined) conditions.push(Prisma.sql`d.rare_outcome = ${outcome}`);
  if (statusCode === OK) conditions.push(Prisma.sql`d.last_status_code = ${statusCode}`);
  else if (statusCode !== undefined) conditions.push(Prisma.sql`d.rare_status_code = ${statusCode}`);
  if (eventType !== undefined) conditions.push(Prisma.sql`d.event_type = ${eventType}`);
  if (eventIds !== undefined) conditions.push(ofEvents(eventIds));
  return conditions;
}

const OK = 200;

/** A delivery carries the millisecond of its event, so the deliveries of an event are a narrow range of ids. */
function ofEvents(eventIds: readonly string[]): Prisma.Sql {
  const each = eventIds.map((id) => {
    const ms = uuidTimeMs(id);
    return Prisma.sql`(d.id BETWEEN ${uuidFloor(ms)}::uuid AND ${uuidCeil(ms)}::uuid AND d.event_id = ${id}::uuid)`;
  });
  return Prisma.sql`(${Prisma.join(each, ' OR ')})`;
}
