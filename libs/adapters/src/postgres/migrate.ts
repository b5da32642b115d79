import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MigrationList } from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';
import { applyWithSchemaEngine } from './schema-engine.js';

/** Any number that nothing else in the database uses: the ASCII bytes of "posthorn" as a signed 64-bit integer. */
const MIGRATION_LOCK_KEY = '8101821198468346478';

/** A database that does not answer a TCP connect and handshake within this is reported as unreachable. */
const CONNECT_TIMEOUT_MS = 10_000;

/** PostgreSQL 15 is the oldest server that the project is tested on. */
const SERVER_VERSION_NUM_MIN = 150_000;

/** SQLSTATE undefined_table. */
const UNDEFINED_TABLE = '42P01';

export type MigrationErrorCode =
  | 'database_unreachable'
  | 'database_too_old'
  | 'database_newer'
  | 'migration_failed'
  | 'migrations_unreadable';

/** A migration run that did not happen or did not finish. `message` is one line, fit to be shown as it is. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
  readonly code: MigrationErrorCode;

  constructor(code: MigrationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * How the database's schema stands to the migrations that this build carries.
 * `ahead`: the database has migrations that this build does not know, so a newer release has been here.
 */
export type SchemaState =
  | { readonly state: 'current' }
  | { readonly state: 'behind'; readonly pending: readonly string[] }
  | { readonly state: 'ahead'; readonly unknown: readonly string[] };

/** A connected session of the `pg` driver. */
export type MigrationClient = pg.Client;

export interface ApplyMigrationsOptions {
  readonly databaseUrl: string;
  /** A directory in Prisma's layout: `<timestamp>_<name>/migration.sql`. */
  readonly migrationsDir: string;
  readonly log: (line: string) => void;
  /**
   * Runs after the migrations, on every call, while the migration lock is still held, so that it too is never run by
   * two processes at once. It must be repeatable. The client is connected and is closed afterwards.
   */
  readonly afterMigrations?: (client: pg.Client) => Promise<void>;
}

/**
 * Brings a database up to the migrations in a directory with Prisma's own schema engine, and fills
 * `_prisma_migrations` as Prisma's command line does.
 *
 * Each migration and the mark that it has finished are one transaction, so a process that is killed half-way leaves
 * nothing behind that would need a person: the next run tries again. A migration therefore cannot contain statements
 * that refuse to run in a transaction (CREATE INDEX CONCURRENTLY), nor COMMIT.
 *
 * Safe when several processes do it at once: they queue on a session-level advisory lock.
 *
 * @returns the names that this call applied, in order
 * @throws MigrationError
 */
export async function applyMigrations(options: ApplyMigrationsOptions): Promise<string[]> {
  const migrations = await readMigrations(options.migrationsDir);
  const client = await connect(options.databaseUrl);
  try {
    await assertServerVersion(client);
    await takeMigrationLock(client, options.log);
    const names = migrations.migrationDirectories.map((directory) => directory.path);
    const state = await schemaState((sql) => rows(client, sql), names);
    if (state.state === 'ahead') {
      throw new MigrationError(
        'database_newer',
        `The database was migrated by a newer release of Posthorn (this one does not know ${state.unknown.join(', ')}): ` +
          'start that release, or restore a backup made before it.',
      );
    }
    const applied = state.state === 'behind' ? await runEngine(client, migrations, options) : [];
    for (const name of applied) options.log(`applied migration ${name}`);
    await options.afterMigrations?.(client);
    return applied;
  } finally {
    // Ends the session and with it the lock.
    await client.end();
  }
}

/**
 * Compares the migrations recorded in the database with the ones this build carries: one query of a few rows, cheap
 * enough for a readiness probe.
 *
 * @param query runs one statement and returns its rows: `(sql) => prisma.$queryRawUnsafe(sql)` will do
 * @param names what {@link migrationNames} returned
 * @throws whatever `query` throws, unless it failed because nothing was ever migrated
 */
export async function schemaState(
  query: (sql: string) => Promise<unknown>,
  names: readonly string[],
): Promise<SchemaState> {
  const recorded = new Set(await finishedMigrations(query));
  const unknown = [...recorded].filter((name) => !names.includes(name));
  if (unknown.length > 0) return { state: 'ahead', unknown };
  const pending = names.filter((name) => !recorded.has(name));
  return pending.length > 0 ? { state: 'behind', pending } : { state: 'current' };
}

/** The names of the migrations in a directory, in the order in which they are applied. */
export async function migrationNames(migrationsDir: string): Promise<string[]> {
  try {
    const entries = await readdir(migrationsDir, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch (cause) {
    throw new MigrationError('migrations_unreadable', `Cannot read the migrations in ${migrationsDir}.`, {
      cause,
    });
  }
}

/**
 * Where this build's own migrations are: `prisma/migrations` beside the nearest package.json above this file, which
 * holds for the sources, for `dist` and for an image that carries both.
 */
export function ownMigrationsDir(): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return join(directory, 'prisma', 'migrations');
    if (directory === dirname(directory)) {
      throw new MigrationError(
        'migrations_unreadable',
        'Cannot find prisma/migrations: no package.json above this build.',
      );
    }
  }
}

async function finishedMigrations(query: (sql: string) => Promise<unknown>): Promise<string[]> {
  try {
    const result = await query(
      'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
    );
    return namesOf(result, 'migration_name');
  } catch (error) {
    // Which error a missing table becomes differs from one client to the next, so the database is asked instead.
    const missing = await query("SELECT to_regclass('_prisma_migrations')::text AS found");
    if (namesOf(missing, 'found').length === 0) return [];
    throw error;
  }
}

function namesOf(result: unknown, column: string): string[] {
  if (!Array.isArray(result))
    throw new TypeError('schemaState: the query function must return an array of rows');
  return result
    .map((row: unknown) => (row as Record<string, unknown>)[column])
    .filter((value) => typeof value === 'string');
}

async function rows(client: pg.Client, sql: string): Promise<unknown[]> {
  return (await client.query<Record<string, unknown>>(sql)).rows;
}

async function readMigrations(migrationsDir: string): Promise<MigrationList> {
  const migrationDirectories = await Promise.all(
    (await migrationNames(migrationsDir)).map(async (path) => {
      const file = join(migrationsDir, path, 'migration.sql');
      try {
        const value = await readFile(file, 'utf8');
        return { path, migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value } } };
      } catch (cause) {
        throw new MigrationError('migrations_unreadable', `Cannot read ${file}.`, { cause });
      }
    }),
  );
  return {
    baseDir: migrationsDir,
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
    shadowDbInitScript: '',
    migrationDirectories,
  };
}

async function connect(databaseUrl: string): Promise<pg.Client> {
  let where = 'DATABASE_URL';
  try {
    const client = new pg.Client({
      connectionString: databaseUrl,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: 'posthorn-migrate',
    });
    where = `${client.host}:${client.port}`;
    // A session that is cut while idle emits 'error'; the statement that comes next reports it.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  } catch (cause) {
    throw new MigrationError(
      'database_unreachable',
      `Cannot connect to PostgreSQL at ${where}: ${oneLine(cause)}`,
      {
        cause,
      },
    );
  }
}

async function assertServerVersion(client: pg.Client): Promise<void> {
  const result = await client.query<{ version: string; number: number }>(
    "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number",
  );
  const server = result.rows[0];
  if (server === undefined || server.number < SERVER_VERSION_NUM_MIN) {
    throw new MigrationError(
      'database_too_old',
      `PostgreSQL ${server?.version ?? 'of unknown version'} is too old: Posthorn needs 15 or newer.`,
    );
  }
}

async function takeMigrationLock(client: pg.Client, log: (line: string) => void): Promise<void> {
  const result = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1::bigint) AS taken', [
    MIGRATION_LOCK_KEY,
  ]);
  if (result.rows[0]?.taken === true) return;
  log('another process is migrating this database: waiting for it');
  await client.query('SELECT pg_advisory_lock($1::bigint)', [MIGRATION_LOCK_KEY]);
}

async function runEngine(
  client: pg.Client,
  migrations: MigrationList,
  { databaseUrl }: ApplyMigrationsOptions,
): Promise<string[]> {
  await forgetUnfinishedMigrations(client);
  try {
    return await applyWithSchemaEngine(databaseUrl, migrations);
  } catch (cause) {
    const failed = await unfinishedMigrations(client);
    const name = failed.length > 0 ? `Migration ${failed.join(', ')} failed` : 'The migration failed';
    throw new MigrationError('migration_failed', `${name} and was rolled back: ${oneLine(cause)}`, { cause });
  }
}

/**
 * Without the lock nobody migrates, so an unfinished row under the lock is what a killed or failed run left. Its
 * script was rolled back with the mark that it had finished (see applyWithSchemaEngine), so it may be tried again; Prisma's
 * command line cannot know that and would ask for a person.
 */
async function forgetUnfinishedMigrations(client: pg.Client): Promise<void> {
  if ((await unfinishedMigrations(client)).length === 0) return;
  await client.query(
    'UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL',
  );
}

async function unfinishedMigrations(client: pg.Client): Promise<string[]> {
  try {
    const unfinished = await client.query<{ migration_name: string }>(
      'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL',
    );
    return unfinished.rows.map((row) => row.migration_name);
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === UNDEFINED_TABLE) return [];
    throw error;
  }
}

/** What went wrong, without line breaks. A failed connect to several addresses has its reasons in `errors` only. */
function oneLine(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map((each: unknown) => oneLine(each)).join('; ');
  }
  const text = error instanceof Error ? error.message : String(error);
  const detail =
    error instanceof pg.DatabaseError && error.code !== undefined ? ` (SQLSTATE ${error.code})` : '';
  return `${text.replaceAll(/\s*\n\s*/g, ' ').trim()}${detail}`;
}
