import { uuidFloor } from '#domain/ids.js';
import type { Database, Statements } from './database.js';
import { DAY_MS } from './id-range.js';

/** The log tables, each with a partition a day, by the time that its UUIDv7 keys carry. */
export const LOG_TABLES = ['events', 'deliveries', 'attempts'] as const;
export type LogTable = (typeof LOG_TABLES)[number];

/** Partitions are there this long before the first row needs them: a week without any worker loses nothing. */
export const PARTITION_DAYS_AHEAD = 7;

/**
 * Makes what is missing of the partitions from the day before `nowMs` to {@link PARTITION_DAYS_AHEAD} days after.
 * Each is made apart and then attached, so that no reader or writer of the parent waits for more than a moment.
 * Any number of processes may call it at once.
 *
 * @param nowMs PostgreSQL's time, Unix milliseconds
 * @returns the names of the partitions made
 */
export async function ensurePartitions(db: Database, nowMs: number): Promise<string[]> {
  const today = Math.floor(nowMs / DAY_MS);
  const wanted: { readonly table: LogTable; readonly day: number }[] = [];
  for (let day = today - 1; day <= today + PARTITION_DAYS_AHEAD; day++) {
    for (const table of LOG_TABLES) wanted.push({ table, day });
  }
  const missing = new Set(await missingPartitions(db, wanted));
  const made: string[] = [];
  for (const { table, day } of wanted) {
    const name = partitionName(table, day);
    if (!missing.has(name)) continue;
    await makePartition(db, table, day);
    made.push(name);
  }
  return made;
}

/** The names of the partitions for today and tomorrow that are not there; without them accept would soon fail. */
export function missingSoon(db: Database, nowMs: number): Promise<string[]> {
  const today = Math.floor(nowMs / DAY_MS);
  return missingPartitions(
    db,
    [today, today + 1].flatMap((day) => LOG_TABLES.map((table) => ({ table, day }))),
  );
}

async function missingPartitions(
  db: Database,
  wanted: readonly { readonly table: LogTable; readonly day: number }[],
): Promise<string[]> {
  const names = wanted.map(({ table, day }) => partitionName(table, day));
  const rows = await db.$queryRaw<{ name: string }[]>`
    SELECT wanted.name
    FROM unnest(${names}::text[]) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                      WHERE c.relname = wanted.name AND NOT i.inhdetachpending)`;
  return rows.map(({ name }) => name);
}

/** The day, counted from 1970-01-01, of the oldest partition of a log table; null when it has none. */
export async function oldestDay(db: Statements, table: LogTable): Promise<number | null> {
  const [row] = await db.$queryRaw<{ name: string | null }[]>`
    SELECT min(c.relname::text) AS name
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(${table}) AND NOT i.inhdetachpending`;
  const name = row?.name ?? null;
  return name === null ? null : partitionDay(table, name);
}

async function makePartition(db: Database, table: LogTable, day: number): Promise<void> {
  const name = partitionName(table, day);
  const from = uuidFloor(day * DAY_MS);
  const to = uuidFloor((day + 1) * DAY_MS);
  // Names and bounds are ours, made of dates: there is nothing in them to quote.
  const statements = [
    `CREATE TABLE IF NOT EXISTS ${name} (LIKE ${table} INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY)
       WITH (${STORAGE_OF[table]})`,
    `ALTER TABLE ${name} DROP CONSTRAINT IF EXISTS ${name}_range`,
    // With this check in place, attaching scans nothing and locks the parent for an instant only.
    `ALTER TABLE ${name} ADD CONSTRAINT ${name}_range CHECK (id >= '${from}' AND id < '${to}')`,
    `ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${from}') TO ('${to}')`,
    `ALTER TABLE ${name} DROP CONSTRAINT ${name}_range`,
  ];
  await db.$transaction(async (tx) => {
    await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'`);
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(${PARTITIONS_LOCK}::bigint)`;
    const [present] = await tx.$queryRaw<{ present: boolean }[]>`
      SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(${name})) AS present`;
    if (present?.present === true) return;
    for (const statement of statements) await tx.$executeRawUnsafe(statement);
  });
}

/** The day of the partition of this name, counted from 1970-01-01; null when the name is not one of this table's. */
export function partitionDay(table: LogTable, name: string): number | null {
  const date = /^(\w+)_p(\d{4})(\d\d)(\d\d)$/.exec(name);
  if (date?.[1] !== table) return null;
  return Date.UTC(Number(date[2]), Number(date[3]) - 1, Number(date[4])) / DAY_MS;
}

/** `events_p20261122`, of the day that is `day` days after 1970-01-01. */
function partitionName(table: LogTable, day: number): string {
  return `${table}_p${new Date(day * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

/**
 * A delivery's row is updated about once, and soon. Rows that share a page were accepted together and settle together, so
 * each needs its room at the same moment: half of the page.
 */
const STORAGE_OF: Readonly<Record<LogTable, string>> = {
  events: 'fillfactor = 100',
  deliveries: 'fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1',
  attempts: 'fillfactor = 100',
};
/** Rather try again a moment later than make every accept queue up behind a waiting lock. */
export const LOCK_TIMEOUT_MS = 2_000;
/** Any number that no other use of advisory locks in this database has. */
const PARTITIONS_LOCK = 7_061_737_468n;
