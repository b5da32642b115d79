import { type DeliveryStatus, isFinal, type Outcome } from '#domain/attempt-outcome.js';
import { uuidCeil, uuidFloor, uuidTimeMs } from '#domain/ids.js';
import {
  type Chunk,
  chunkOfOpen,
  chunkOfScope,
  chunkOfValue,
  type IdRange,
  type IndexKey,
  newest,
} from './delivery-log-chunk.js';
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

/** One way through a list, from its newest row: statements for as much of it as is looked at in one go. */
export interface ListWalk {
  /** See {@link Chunk} for what it answers. Null when there is nothing left to look at. */
  readonly chunk: (page: PageRequest, rowsWalkedMax: number) => Prisma.Sql | null;
}

/**
 * The ways to what fits, the one with the fewest rows to look at first, as far as that can be told; none when nothing can fit.
 *
 * A filter of a rare value, or of a type, has an index of (scope, value, id), which yields its rows in the order of the list.
 * Of several, the rarest among the scope's is not known, so each is a way of its own; what the others ask for is looked at in
 * its rows. The common values have no index: nearly every row that is walked past has them. Times are ranges of ids,
 * because ids carry their time: partitions outside are not touched.
 */
export function listWalks(filter: DeliveryFilter): ListWalk[] {
  if (filter.eventIds?.length === 0 || isContradiction(filter)) return [];
  return chunksOf(filter).map((statement) => ({
    chunk: (page, rowsWalkedMax) => {
      const range = idRange(filter, page);
      return range === null ? null : statement({ range, rowsMax: page.rowsMax, rowsWalkedMax });
    },
  }));
}

function chunksOf(filter: DeliveryFilter): ((chunk: Chunk) => Prisma.Sql)[] {
  if (filter.status !== undefined && !isFinal(filter.status)) return [openChunks(filter, filter.status)];
  const scope = scopeOf(filter);
  const values = valuesOf(filter);
  const indexed = values.flatMap(({ key }) => (key === null ? [] : [key]));
  if (filter.eventIds !== undefined) {
    const fitting = [...values.map(({ fits }) => fits), ofEvents(filter.eventIds)];
    return [(chunk) => newest(scope, fitting, chunk)];
  }
  if (indexed.length === values.length && indexed.length <= 1) {
    const fitting = indexed.map(({ column, value }) => Prisma.sql`${column} = ${value}`);
    return [(chunk) => newest(scope, fitting, chunk)];
  }
  if (indexed.length === 0) {
    const fitting = values.map(({ fits }) => fits);
    return [(chunk) => chunkOfScope(scope, fitting, chunk)];
  }
  return indexed.map((key) => {
    const fitting = values.filter((value) => value.key !== key).map(({ fits }) => fits);
    return (chunk) => chunkOfValue(scope, key, fitting, chunk);
  });
}

/** A final delivery has an open row while it is tried once more by hand. */
function openChunks(filter: DeliveryFilter, status: DeliveryStatus): (chunk: Chunk) => Prisma.Sql {
  const paused = ofPaused(filter, status === 'held');
  const { endpointId, eventIds } = filter;
  const walked = [
    ...openScope(filter),
    ...(eventIds === undefined ? [] : [inTimeOf(eventIds, 'o.delivery_id')]),
  ];
  const fitting = [
    Prisma.sql`NOT o.single`,
    ...valuesOf(filter).map(({ fits }) => fits),
    ...(eventIds === undefined ? [] : [ofEvents(eventIds)]),
  ];
  // Of one endpoint it is all or nothing.
  return endpointId === undefined
    ? (chunk) => chunkOfOpen(walked, [paused, ...fitting], chunk)
    : (chunk) => chunkOfOpen([paused, ...walked], fitting, chunk);
}

/** What no delivery can be, so that nobody has to look through all that is half of it. */
function isContradiction({ status, outcome, statusCode }: DeliveryFilter): boolean {
  if (status === 'pending') return outcome !== undefined || statusCode !== undefined;
  return outcome === 'succeeded' && status !== undefined && status !== 'succeeded';
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

/**
 * An endpoint belongs to one merchant, which the caller has made sure of and `withDetails` asks once more. To name both
 * here would make the planner believe that it takes two coincidences for a row to fit, and so that there is little to sort.
 */
function scopeOf({ merchantId, endpointId }: DeliveryFilter): IndexKey | null {
  if (endpointId !== undefined)
    return { column: Prisma.sql`d.endpoint_id`, value: Prisma.sql`${endpointId}::uuid` };
  return merchantId === undefined
    ? null
    : { column: Prisma.sql`d.merchant_id`, value: Prisma.sql`${merchantId}::uuid` };
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

interface ValueFilter {
  readonly fits: Prisma.Sql;
  /** Null of a common value, which no index has. */
  readonly key: IndexKey | null;
}

/** Those that usually have the fewest rows come first. */
function valuesOf({ status, outcome, statusCode, eventType }: DeliveryFilter): ValueFilter[] {
  const filters: ValueFilter[] = [];
  if (statusCode !== undefined) {
    const value = Prisma.sql`${statusCode}::integer`;
    filters.push({
      fits: Prisma.sql`d.last_status_code = ${value}`,
      key: statusCode === OK ? null : { column: Prisma.sql`d.rare_status_code`, value },
    });
  }
  if (outcome !== undefined) {
    const value = Prisma.sql`${outcome}::text`;
    filters.push({
      fits: Prisma.sql`d.last_outcome = ${value}`,
      key: outcome === 'succeeded' ? null : { column: Prisma.sql`d.rare_outcome`, value },
    });
  }
  if (status === 'held') filters.push({ fits: Prisma.sql`d.status IN ('pending', 'retrying')`, key: null });
  else if (status !== undefined) {
    const value = Prisma.sql`${status}::text`;
    const isRare = status === 'failed' || status === 'cancelled';
    filters.push({
      fits: Prisma.sql`d.status = ${value}`,
      key: isRare ? { column: Prisma.sql`d.rare_status`, value } : null,
    });
  }
  if (eventType !== undefined) {
    const value = Prisma.sql`${eventType}::text`;
    filters.push({
      fits: Prisma.sql`d.event_type = ${value}`,
      key: { column: Prisma.sql`d.event_type`, value },
    });
  }
  return filters;
}

const OK = 200;

function ofEvents(eventIds: readonly string[]): Prisma.Sql {
  return Prisma.sql`(${inTimeOf(eventIds, 'd.id')} AND d.event_id IN (${Prisma.join(eventIds.map((id) => Prisma.sql`${id}::uuid`))}))`;
}

/** A delivery carries the millisecond of its event, so the deliveries of an event are a narrow range of ids. */
function inTimeOf(eventIds: readonly string[], column: 'd.id' | 'o.delivery_id'): Prisma.Sql {
  const name = Prisma.raw(column);
  const each = eventIds.map((id) => {
    const ms = uuidTimeMs(id);
    return Prisma.sql`${name} BETWEEN ${uuidFloor(ms)}::uuid AND ${uuidCeil(ms)}::uuid`;
  });
  return Prisma.sql`(${Prisma.join(each, ' OR ')})`;
}
