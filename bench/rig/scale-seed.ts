import { statfs } from 'node:fs/promises';
import pg from 'pg';
import { connectDatabase } from '#adapters/postgres/database.js';
import { DAY_MS } from '#adapters/postgres/id-range.js';
import { ensurePartitions, LOG_TABLES, type LogTable, partitionDay } from '#adapters/postgres/partitions.js';
import {
  DAYS,
  DOWN_DAYS,
  DOWN_ENDPOINT,
  EVENTS_PER_FAN_OUT,
  FAT_MERCHANT,
  NO_CONTENT_ENDPOINT,
  PAUSED_ENDPOINT,
  TODAY_SHARE,
} from './scale-model.js';
import {
  ATTEMPT_ROWS,
  CLEAR_DRAFTS,
  CREATE_DRAFTS,
  DELIVERY_ROWS,
  DRAFT_ATTEMPTS,
  DRAFT_DELIVERIES,
  DRAFT_ENDPOINTS,
  DRAFT_EVENTS,
  eventRows,
  INSERT_KEYS,
  INSERT_OPEN,
  insertStats,
  type Rows,
} from './scale-statements.js';
import type { Tenant } from './scale-tenants.js';
import { USUAL_DATA } from './usual-event.js';

export interface Seed {
  readonly databaseUrl: string;
  readonly tenants: readonly Tenant[];
  /** About so many; what was made is in {@link Seeded}. */
  readonly deliveries: number;
  /** Days are written by so many connections at once. */
  readonly connections: number;
  readonly signal: AbortSignal;
}

export interface Seeded {
  readonly events: number;
  readonly deliveries: number;
  readonly attempts: number;
  readonly open_deliveries: number;
  readonly days: number;
  /** The last of them, counted from 1970-01-01. */
  readonly today: number;
  readonly seconds: number;
  readonly database_bytes: number;
  readonly table_bytes: Readonly<Record<string, number>>;
}

interface Day {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly isToday: boolean;
  readonly events: number;
}

/** What a delivery takes with its part of an event, its attempts, statistics and all indexes, and the log of PostgreSQL. */
const BYTES_PER_DELIVERY = 4_000;
/** PostgreSQL's own log, and room to breathe. */
const BYTES_BESIDE = 6 * 2 ** 30;

/** @throws Error when the disk has not enough room for so many deliveries */
export async function assertRoom(directory: string, deliveries: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const [free, needed] = [bavail * bsize, deliveries * BYTES_PER_DELIVERY + BYTES_BESIDE];
  const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  if (free < needed)
    throw new Error(
      `${deliveries} deliveries need about ${gib(needed)} GiB in ${directory}, which has ${gib(free)} GiB`,
    );
}

/**
 * Replaces the log by that of the last {@link DAYS} days, as the pipeline would have left it: each row in the partition of its
 * day, in the order of time, with its statistics. Only the partitions are vacuumed and analyzed, as autovacuum does.
 */
export async function seedLog(seed: Seed): Promise<Seeded> {
  const startedMs = performance.now();
  await using parts = new AsyncDisposableStack();
  const sessions: pg.Client[] = [];
  for (let index = 0; index < seed.connections; index += 1) {
    const session = new pg.Client({ connectionString: seed.databaseUrl });
    await session.connect();
    parts.defer(() => session.end());
    sessions.push(session);
  }
  // A statement takes seconds: to end its connection is to end it.
  const stop = (): void => void Promise.allSettled(sessions.map((session) => session.end()));
  seed.signal.addEventListener('abort', stop);
  parts.defer(() => seed.signal.removeEventListener('abort', stop));

  const [first] = sessions as [pg.Client];
  await emptyLog(first);
  const nowMs = await readNowMs(first);
  const days = daysUntil(nowMs, seed.deliveries);
  const partitions = await makePartitions(seed.databaseUrl, first, days);
  const waiting = [...days];
  await Promise.all(
    sessions.map(async (session) => {
      await prepare(session, seed.tenants, nowMs);
      for (let day = waiting.shift(); day !== undefined; day = waiting.shift()) {
        seed.signal.throwIfAborted();
        await writeDay(session, day, { nowMs, nameOf: (table) => partitions.get(keyOf(table, day)) ?? '' });
      }
    }),
  );
  await first.query(
    'VACUUM (ANALYZE) open_deliveries, delivery_stats, delivery_stats_packed, idempotency_keys',
  );
  await first.query('CHECKPOINT');
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  return { ...(await measure(first)), days: days.length, today: Math.floor(nowMs / DAY_MS), seconds };
}

export async function emptyLog(database: pg.Client): Promise<void> {
  await database.query(
    `TRUNCATE ${LOG_TABLES.join()}, open_deliveries, delivery_stats, delivery_stats_packed, idempotency_keys`,
  );
}

async function readNowMs(session: pg.Client): Promise<number> {
  const { rows } = await session.query<{ ms: number }>(
    'SELECT floor(extract(epoch FROM now()) * 1000)::float8 AS ms',
  );
  return rows[0]?.ms ?? Number.NaN;
}

/** Today first: it is the largest, and what is left at the end is to be small. */
function daysUntil(nowMs: number, deliveries: number): Day[] {
  const todayMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const events = (share: number): number => {
    const shared = (deliveries * share * EVENTS_PER_FAN_OUT) / (EVENTS_PER_FAN_OUT + 1);
    return Math.max(1, Math.round(shared / EVENTS_PER_FAN_OUT)) * EVENTS_PER_FAN_OUT;
  };
  const before = Array.from({ length: DAYS - 1 }, (_, index): Day => {
    const fromMs = todayMs - (index + 1) * DAY_MS;
    return {
      fromMs,
      untilMs: fromMs + DAY_MS,
      isToday: false,
      events: events((1 - TODAY_SHARE) / (DAYS - 1)),
    };
  });
  return [{ fromMs: todayMs, untilMs: nowMs, isToday: true, events: events(TODAY_SHARE) }, ...before];
}

/** @returns names, by table and day */
async function makePartitions(
  databaseUrl: string,
  session: pg.Client,
  days: readonly Day[],
): Promise<ReadonlyMap<string, string>> {
  const database = connectDatabase(databaseUrl, 1);
  try {
    for (const { fromMs } of days) await ensurePartitions(database, fromMs);
  } finally {
    await database.$disconnect();
  }
  const { rows } = await session.query<{ name: string; parent: LogTable }>(
    'SELECT inhrelid::regclass::text AS name, inhparent::regclass::text AS parent FROM pg_inherits',
  );
  return new Map(
    rows.map(({ name, parent }) => [`${parent} ${partitionDay(parent, name) ?? ''}`, name] as const),
  );
}

function keyOf(table: LogTable, { fromMs }: Day): string {
  return `${table} ${fromMs / DAY_MS}`;
}

async function prepare(session: pg.Client, tenants: readonly Tenant[], nowMs: number): Promise<void> {
  // What is lost with the power is seeded again.
  await session.query("SET synchronous_commit = off; SET work_mem = '128MB'; SET temp_buffers = '64MB'");
  await session.query(CREATE_DRAFTS);
  const endpoints = tenants.flatMap(({ merchantUuid, endpointUuids }, merchant) =>
    endpointUuids.map((uuid, endpoint) => ({ merchant, endpoint, merchantUuid, uuid })),
  );
  const todayMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  await session.query(DRAFT_ENDPOINTS, [
    endpoints.map(({ merchant }) => merchant),
    endpoints.map(({ endpoint }) => endpoint),
    endpoints.map(({ merchantUuid }) => merchantUuid),
    endpoints.map(({ uuid }) => uuid),
    endpoints.map(({ endpoint }) => (endpoint === NO_CONTENT_ENDPOINT ? 204 : 200)),
    endpoints.map(({ endpoint }) => (endpoint === DOWN_ENDPOINT ? nowMs - DOWN_DAYS * DAY_MS : null)),
    endpoints.map(({ merchant, endpoint }) =>
      merchant === FAT_MERCHANT && endpoint === PAUSED_ENDPOINT ? todayMs : null,
    ),
  ]);
  await session.query('ANALYZE draft_endpoints');
}

async function writeDay(
  session: pg.Client,
  { fromMs, untilMs, isToday, events }: Day,
  { nowMs, nameOf }: { readonly nowMs: number; readonly nameOf: (table: LogTable) => string },
): Promise<void> {
  await session.query(CLEAR_DRAFTS);
  await session.query(DRAFT_EVENTS, [events, fromMs, untilMs]);
  await session.query(DRAFT_DELIVERIES, [untilMs, isToday]);
  await session.query(DRAFT_ATTEMPTS);
  const data = JSON.stringify(USUAL_DATA);
  await write(session, nameOf('events'), eventRows(data));
  await write(session, nameOf('deliveries'), DELIVERY_ROWS);
  await write(session, nameOf('attempts'), ATTEMPT_ROWS);
  if (isToday) await session.query(INSERT_OPEN, [Buffer.byteLength(data)]);
  await session.query(INSERT_KEYS);
  for (const statement of insertStats(nowMs)) await session.query(statement);
}

/**
 * By way of a file of the server's, because only COPY leaves rows as vacuum would, and writes them, where `wal_level` is
 * `minimal`, to the table alone and not to PostgreSQL's log first.
 */
async function write(session: pg.Client, partition: string, { columns, select }: Rows): Promise<void> {
  const file = `current_setting('data_directory') || '/draft-' || pg_backend_pid()`;
  const { rows } = await session.query<{ file: string }>(`SELECT quote_literal(${file}) AS file`);
  const literal = rows[0]?.file ?? '';
  await session.query(`COPY (${select}) TO ${literal} (FORMAT binary)`);
  await session.query('BEGIN');
  await session.query(`TRUNCATE ${partition}`);
  await session.query(`COPY ${partition} (${columns}) FROM ${literal} (FORMAT binary, FREEZE)`);
  await session.query('COMMIT');
  await session.query(`COPY (SELECT) TO ${literal}`);
  // As autovacuum has long done where a log has grown over months: not while the rates and lists are measured.
  await session.query(`VACUUM (ANALYZE) ${partition}`);
}

async function measure(session: pg.Client): Promise<Omit<Seeded, 'days' | 'today' | 'seconds'>> {
  const counted = [...LOG_TABLES, 'open_deliveries'];
  const counts = counted.map((table) => `(SELECT count(*)::float8 FROM ${table}) AS ${table}`);
  const { rows } = await session.query<Record<string, number>>(
    `SELECT ${counts.join()}, pg_database_size(current_database())::float8 AS bytes`,
  );
  const sizes = await session.query<{ name: string; bytes: number }>(
    `SELECT relname AS name, coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(oid)),
                                      pg_total_relation_size(oid))::float8 AS bytes
     FROM pg_class WHERE relname = ANY ($1)`,
    [[...LOG_TABLES, 'idempotency_keys', 'delivery_stats_packed']],
  );
  const row = rows[0] ?? {};
  return {
    events: row['events'] ?? Number.NaN,
    deliveries: row['deliveries'] ?? Number.NaN,
    attempts: row['attempts'] ?? Number.NaN,
    open_deliveries: row['open_deliveries'] ?? Number.NaN,
    database_bytes: row['bytes'] ?? Number.NaN,
    table_bytes: Object.fromEntries(sizes.rows.map(({ name, bytes }) => [name, bytes])),
  };
}
