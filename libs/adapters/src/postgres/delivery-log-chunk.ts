import { Prisma } from './generated/client.js';

/** `deliveries d` has to be in scope. */
const LOG_COLUMNS = Prisma.sql`
  d.event_id, d.endpoint_id, d.event_type, d.payload_format, d.status, d.attempt_count, d.last_number, d.last_outcome,
  d.last_status_code, d.last_error_code, d.last_duration_ms, d.error_code, d.completed_at`;

/** `deliveries d` has to be in scope. */
export const DELIVERY_COLUMNS = Prisma.sql`d.id, d.merchant_id, ${LOG_COLUMNS}`;

/** What an index of `deliveries d` begins with, and the one value of it that is wanted. */
export interface IndexKey {
  readonly column: Prisma.Sql;
  readonly value: Prisma.Sql;
}

export interface IdRange {
  /** Inclusive. */
  readonly from: string | null;
  /** Exclusive. */
  readonly to: string | null;
}

/**
 * The next rows of a walk, as SQL, from the newest: at most `rowsWalkedMax` are looked at, and at most `rowsMax` are
 * answered, at which PostgreSQL stops. They have {@link DELIVERY_COLUMNS}, `fits` and `is_chunk_end`.
 *
 * When all `rowsWalkedMax` were looked at, the last of them is answered, fitting or not, with `is_chunk_end`. So an answer of
 * fewer than `rowsMax` rows without such a one says that there is no more.
 */
export interface Chunk {
  readonly range: IdRange;
  readonly rowsMax: number;
  readonly rowsWalkedMax: number;
}

/**
 * The newest that fit, for conditions that an index has all of, or that hold for few ids: nothing is walked past.
 *
 * The endpoint or merchant, and how many rows are wanted, are kept from the planner. Of a large one it would walk everybody's
 * rows in the belief that enough of them fit, which is the whole log where hardly any does; of a small one it would sort what
 * fits, which is much where this one is not small after all. So it is left with the index that has both filter and order.
 */
export function newest(
  scope: IndexKey | null,
  fitting: readonly Prisma.Sql[],
  { range, rowsMax }: Chunk,
): Prisma.Sql {
  const where = allOf([...idBounds(range, 'd.id'), ...fitting]);
  const columns = Prisma.sql`${DELIVERY_COLUMNS}, true AS fits, false AS is_chunk_end`;
  if (scope === null)
    return Prisma.sql`SELECT ${columns} FROM deliveries d WHERE ${where} ORDER BY d.id DESC LIMIT ${rowsMax}`;
  return Prisma.sql`
    SELECT ${columns}
    FROM (SELECT ${scope.value} AS value OFFSET 0) AS scope
    CROSS JOIN LATERAL (SELECT * FROM deliveries d WHERE ${scope.column} = scope.value AND ${where}
                        ORDER BY d.id DESC LIMIT ${unknown(rowsMax)}) AS d`;
}

/** Of all rows of the scope, or of everybody's. Its id is kept from the planner as in {@link newest}. */
export function chunkOfScope(
  scope: IndexKey | null,
  fitting: readonly Prisma.Sql[],
  chunk: Chunk,
): Prisma.Sql {
  const { range, rowsWalkedMax } = chunk;
  const order = Prisma.sql`d.id DESC`;
  const bounds = idBounds(range, 'd.id');
  if (scope === null) {
    const rows = Prisma.sql`
      SELECT ${DELIVERY_COLUMNS} FROM deliveries d WHERE ${allOf(bounds)} ORDER BY ${order} LIMIT ${unknown(rowsWalkedMax)}`;
    return fittingOf(rows, order, fitting, chunk);
  }
  const rows = Prisma.sql`
    SELECT ${DELIVERY_COLUMNS} FROM deliveries d WHERE ${allOf([Prisma.sql`${scope.column} = scope.value`, ...bounds])}
    ORDER BY ${order} LIMIT ${unknown(rowsWalkedMax)}`;
  return Prisma.sql`
    SELECT d.* FROM (SELECT ${scope.value} AS value OFFSET 0) AS scope
    CROSS JOIN LATERAL (${fittingOf(rows, order, fitting, chunk)}) AS d`;
}

/**
 * Of the scope's rows with a value, or of everybody's, by the index of (scope, value, id).
 *
 * Bounds and order are rows of value and id, which no other index has. Told `=` and the order of ids, the planner may rather
 * walk an index without the value past what has other values, and that is a walk without end where it believes in more rows of
 * this one than there are. The values themselves are kept from it, because of a few rows, as it believes, it would sort all.
 */
export function chunkOfValue(
  scope: IndexKey | null,
  { column, value }: IndexKey,
  fitting: readonly Prisma.Sql[],
  chunk: Chunk,
): Prisma.Sql {
  const { range, rowsWalkedMax } = chunk;
  const order = Prisma.sql`${column} DESC, d.id DESC`;
  const where = allOf([
    ...(scope === null ? [] : [Prisma.sql`${scope.column} = (SELECT ${scope.value})`]),
    Prisma.sql`(${column}, d.id) >= ((SELECT ${value}), ${range.from ?? ID_MIN}::uuid)`,
    Prisma.sql`(${column}, d.id) < ((SELECT ${value}), ${range.to ?? ID_MAX}::uuid)`,
    // Most of these indexes have no others; and partitions are chosen by ids.
    Prisma.sql`${column} IS NOT NULL`,
    ...idBounds(range, 'd.id'),
  ]);
  const rows = Prisma.sql`
    SELECT ${DELIVERY_COLUMNS}, d.rare_status, d.rare_outcome, d.rare_status_code
    FROM deliveries d WHERE ${where} ORDER BY ${order} LIMIT ${unknown(rowsWalkedMax)}`;
  return fittingOf(rows, order, fitting, chunk);
}

/**
 * Of the open ones: few among what was ever delivered, so these start from the small table. LIMIT 1, true of a key, keeps the
 * planner from turning the look-ups around into a scan of the log.
 *
 * @param walked of `open_deliveries o`, what is walked
 * @param fitting of `deliveries d` and `o`, what is wanted of it
 */
export function chunkOfOpen(
  walked: readonly Prisma.Sql[],
  fitting: readonly Prisma.Sql[],
  { range, rowsMax, rowsWalkedMax }: Chunk,
): Prisma.Sql {
  return Prisma.sql`
    SELECT o.delivery_id AS id, o.merchant_id, ${LOG_COLUMNS}, d.id IS NOT NULL AS fits,
           o.place = ${rowsWalkedMax}::bigint AS is_chunk_end
    FROM (SELECT o.*, row_number() OVER (ORDER BY o.delivery_id DESC) AS place
          FROM (SELECT o.delivery_id, o.endpoint_id, o.merchant_id, o.single FROM open_deliveries o
                WHERE ${allOf([...walked, ...idBounds(range, 'o.delivery_id')])}
                ORDER BY o.delivery_id DESC LIMIT ${unknown(rowsWalkedMax)}) o) o
    LEFT JOIN LATERAL (SELECT * FROM deliveries d
                       WHERE ${allOf([Prisma.sql`d.id = o.delivery_id`, ...idBounds(range, 'd.id'), ...fitting])} LIMIT 1) d ON true
    WHERE d.id IS NOT NULL OR o.place = ${rowsWalkedMax}::bigint
    ORDER BY o.delivery_id DESC LIMIT ${rowsMax}`;
}

/** Of rows that come in this order already, which numbers them as they come and sorts nothing. */
function fittingOf(
  rows: Prisma.Sql,
  order: Prisma.Sql,
  fitting: readonly Prisma.Sql[],
  { rowsMax, rowsWalkedMax }: Chunk,
): Prisma.Sql {
  const fits = Prisma.sql`(${allOf(fitting)}) IS TRUE`;
  const isChunkEnd = Prisma.sql`d.place = ${rowsWalkedMax}::bigint`;
  return Prisma.sql`
    SELECT ${DELIVERY_COLUMNS}, ${fits} AS fits, ${isChunkEnd} AS is_chunk_end
    FROM (SELECT d.*, row_number() OVER (ORDER BY ${order}) AS place FROM (${rows}) d) d
    WHERE ${fits} OR ${isChunkEnd}
    ORDER BY ${order} LIMIT ${rowsMax}`;
}

/** A number of rows that the planner does not know: of few rows it would rather sort all than stop in the middle. */
function unknown(rows: number): Prisma.Sql {
  return Prisma.sql`(SELECT ${rows}::bigint)`;
}

function allOf(conditions: readonly Prisma.Sql[]): Prisma.Sql {
  return conditions.length === 0 ? Prisma.sql`true` : Prisma.join([...conditions], ' AND ');
}

function idBounds({ from, to }: IdRange, column: 'd.id' | 'o.delivery_id'): Prisma.Sql[] {
  const name = Prisma.raw(column);
  return [
    ...(from === null ? [] : [Prisma.sql`${name} >= ${from}::uuid`]),
    ...(to === null ? [] : [Prisma.sql`${name} < ${to}::uuid`]),
  ];
}

const ID_MIN = '00000000-0000-0000-0000-000000000000';
/** No id is as high: the last bits of its version and variant are never all ones. */
const ID_MAX = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
