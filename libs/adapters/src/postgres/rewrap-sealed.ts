import type { SecretBox } from '#pipeline/secret-box.js';
import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { Prisma } from './generated/client.js';
import { SEALED_COLUMNS, type SealedColumn } from './sealed-columns.js';

/** Opens with any of the keys, seals with the first. */
export interface RewrapBox extends SecretBox {
  readonly sealingKeyId: string;
}

export interface RewrapOptions {
  readonly box: RewrapBox;
  /** What everything begins with that was sealed under a key. */
  readonly sealedPrefix: (keyId: string) => Uint8Array;
  /** Told after each batch that had something to do. */
  readonly progress: (column: string, rewrapped: number) => void;
}

export interface Rewrapped {
  readonly rewrapped: number;
  /** Rows that no key opens, as `table.column of <row id>`. */
  readonly unopened: readonly string[];
}

/**
 * Seals everything anew that is not sealed under the first key. Each value is replaced only if it is still the one that
 * was read, so what others write in the meantime is neither lost nor overwritten; killed at any moment, it goes on where
 * it was when it is run again, because what is done already is passed over.
 *
 * Goes over the tables until a pass finds nothing, or nothing that it could open.
 */
export async function rewrapSealed(database: Database, options: RewrapOptions): Promise<Rewrapped> {
  let rewrapped = 0;
  for (let pass = 1; ; pass++) {
    const found = { resealed: 0, rewrapped: 0, unopened: [] as string[] };
    for (const column of SEALED_COLUMNS) await rewrapColumn(database, column, options, found);
    rewrapped += found.rewrapped;
    // Whoever still seals under another key would keep this going for ever: the next run has to finish it.
    if (found.resealed === 0 || pass === PASSES_MAX) return { rewrapped, unopened: found.unopened };
  }
}

/** Whether a value is left that was sealed under a key. @param prefix what everything begins with that it sealed */
export async function isKeyInUse(db: Statements, prefix: Uint8Array): Promise<boolean> {
  for (const column of SEALED_COLUMNS) {
    for await (const rows of windows(db, column, startsWith(column, prefix))) {
      if (rows.length > 0) return true;
    }
  }
  return false;
}

interface SealedRow {
  readonly key: string[];
  readonly rowId: string;
  readonly sealed: Uint8Array;
}

async function rewrapColumn(
  database: Database,
  column: SealedColumn,
  { box, sealedPrefix, progress }: RewrapOptions,
  found: { resealed: number; rewrapped: number; readonly unopened: string[] },
): Promise<void> {
  const label = `${column.table}.${column.column}`;
  const isOld = Prisma.sql`NOT ${startsWith(column, sealedPrefix(box.sealingKeyId))}`;
  let rewrappedHere = 0;
  for await (const rows of windows(database, column, isOld)) {
    const { resealed, unopened } = reseal(rows, box);
    for (const rowId of unopened) {
      if (found.unopened.length < UNOPENED_TOLD_MAX) found.unopened.push(`${label} of ${rowId}`);
    }
    if (resealed.length === 0) continue;
    // Counted before it is known whether they could be replaced: what somebody else changed first is looked at again.
    found.resealed += resealed.length;
    const count = await withDeadlockRetry(() => replace(database, column, resealed));
    found.rewrapped += count;
    rewrappedHere += count;
    progress(label, rewrappedHere);
  }
}

/** The rows of a column that a condition holds for, in key order, as they come in windows of the table. */
async function* windows(
  db: Statements,
  { table, column, key, where, rowId }: SealedColumn,
  condition: Prisma.Sql,
): AsyncGenerator<SealedRow[]> {
  const keyColumns = Prisma.join(key.map((part) => name(part.column)));
  const keyTexts = Prisma.join(key.map((part) => Prisma.sql`${name(part.column)}::text`));
  let after = Prisma.sql`true`;
  for (;;) {
    const rows = await db.$queryRaw<(Omit<SealedRow, 'sealed'> & { sealed: Uint8Array | null })[]>`
      SELECT ARRAY[${keyTexts}] AS key, ${rowId} AS "rowId",
             CASE WHEN ${condition} THEN ${name(column)} END AS sealed
      FROM ${name(table)} WHERE ${where ?? Prisma.sql`true`} AND ${after} ORDER BY ${keyColumns} LIMIT ${WINDOW_ROWS}`;
    yield rows.flatMap((row) => (row.sealed === null ? [] : [{ ...row, sealed: row.sealed }]));
    const last = rows.at(-1);
    if (last === undefined || rows.length < WINDOW_ROWS) return;
    const values = last.key.map((value, at) => Prisma.sql`${value}::${name(key[at]?.type ?? 'text')}`);
    after = Prisma.sql`(${keyColumns}) > (${Prisma.join(values)})`;
  }
}

/** @returns how many values were still what was read of them */
function replace(
  db: Statements,
  { table, column, key }: SealedColumn,
  rows: readonly {
    readonly key: readonly string[];
    readonly before: Uint8Array;
    readonly sealed: Uint8Array;
  }[],
): Promise<number> {
  const keyArrays = key.map(
    ({ type }, at) => Prisma.sql`${rows.map((row) => row.key[at] ?? '')}::${name(type)}[]`,
  );
  const isSameRow = key.map((part) => Prisma.sql`t.${name(part.column)} = r.${name(part.column)}`);
  return db.$executeRaw`
    UPDATE ${name(table)} t SET ${name(column)} = r.new_sealed
    FROM unnest(${Prisma.join(keyArrays)}, ${rows.map(({ before }) => before)}::bytea[],
                ${rows.map(({ sealed }) => sealed)}::bytea[])
         AS r (${Prisma.join(key.map((part) => name(part.column)))}, old_sealed, new_sealed)
    WHERE ${Prisma.join(isSameRow, ' AND ')} AND t.${name(column)} = r.old_sealed`;
}

function reseal(rows: readonly SealedRow[], box: SecretBox) {
  const resealed: { key: string[]; before: Uint8Array; sealed: Uint8Array }[] = [];
  const unopened: string[] = [];
  for (const { key, rowId, sealed } of rows) {
    try {
      resealed.push({ key, before: sealed, sealed: box.seal(box.open(sealed, rowId), rowId) });
    } catch {
      unopened.push(rowId);
    }
  }
  return { resealed, unopened };
}

function startsWith({ column }: SealedColumn, prefix: Uint8Array): Prisma.Sql {
  return Prisma.sql`substring(${name(column)} FROM 1 FOR ${prefix.byteLength}::int) = ${prefix}`;
}

/** Tables and columns are our own constants: there is nothing in them to quote. */
function name(identifier: string): Prisma.Sql {
  return Prisma.raw(identifier);
}

/** Bounds every statement, whatever the size of the table: tens of milliseconds, most of them in the cipher. */
const WINDOW_ROWS = 1_000;
/** The second pass finds what was written during the first; a third finds anything only where an old key still seals. */
const PASSES_MAX = 3;
/** Enough to see what they have in common. */
const UNOPENED_TOLD_MAX = 20;
