import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { testServer } from '#testkit/postgres.js';
import { applyMigrations, migrationNames, ownMigrationsDir, schemaState } from './migrate.js';

const FIRST = '20260101000000_first';
const SECOND = '20260102000000_second';
const log = (): void => undefined;

let adminUrl: string;
let databaseName: string;
let databaseUrl: string;
let migrationsDir: string;

beforeEach(async () => {
  ({ adminUrl } = await testServer());
  databaseName = `migrate_${randomBytes(6).toString('hex')}`;
  await onAdmin(`CREATE DATABASE ${databaseName}`);
  databaseUrl = withDatabase(databaseName);
  migrationsDir = await mkdtemp(join(tmpdir(), 'posthorn-migrations-'));
  await migration(FIRST, 'CREATE TABLE first (id int);');
});

afterEach(async () => {
  await onAdmin(`DROP DATABASE ${databaseName}`);
  await rm(migrationsDir, { recursive: true });
});

describe('applyMigrations', () => {
  test('applies what is missing, in order, and nothing the second time', async () => {
    await migration(SECOND, 'ALTER TABLE first ADD COLUMN name text;');
    expect(await apply()).toEqual([FIRST, SECOND]);
    expect(await apply()).toEqual([]);
    expect(await onDatabase('SELECT id, name FROM first')).toEqual([]);
  });

  test('records what Prisma records', async () => {
    await apply();
    const [row] = await onDatabase('SELECT * FROM _prisma_migrations');
    expect(row).toMatchObject({
      migration_name: FIRST,
      rolled_back_at: null,
      applied_steps_count: 1,
      finished_at: expect.any(Date) as unknown,
      // sha256 of the script, as Prisma's command line compares it.
      checksum: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
    });
  });

  test('sends a script whole: semicolons in strings, comments and function bodies are no ends', async () => {
    await migration(
      SECOND,
      `CREATE FUNCTION answer() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'a;b'; END $$; -- one; two`,
    );
    await apply();
    expect(await onDatabase('SELECT answer()')).toEqual([{ answer: 'a;b' }]);
  });

  test('a migration that fails leaves nothing behind, is named with its SQL error, and can be tried again', async () => {
    await migration(SECOND, 'CREATE TABLE half_made (id int); INSERT INTO nowhere VALUES (1);');
    for (let run = 1; run <= 2; run += 1) {
      await expect(apply()).rejects.toMatchObject({
        code: 'migration_failed',
        message: `Migration ${SECOND} failed and was rolled back: relation "nowhere" does not exist (SQLSTATE 42P01)`,
      });
    }
    expect(await onDatabase("SELECT to_regclass('half_made') AS found")).toEqual([{ found: null }]);
    await migration(SECOND, 'CREATE TABLE half_made (id int);');
    expect(await apply()).toEqual([SECOND]);
  });

  test('a run that was killed half-way needs nobody', async () => {
    await apply();
    await migration(SECOND, 'CREATE TABLE second (id int);');
    // What Prisma writes before it runs a script.
    await onDatabase(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('killed', 'x', '${SECOND}')`,
    );
    expect(await apply()).toEqual([SECOND]);
    expect(await state()).toEqual({ state: 'current' });
  });

  test('several processes at once apply each migration once, and run the hook one at a time', async () => {
    let inHook = 0;
    let inHookMax = 0;
    const afterMigrations = async (client: pg.Client): Promise<void> => {
      inHook += 1;
      inHookMax = Math.max(inHookMax, inHook);
      await client.query('SELECT pg_sleep(0.01)');
      inHook -= 1;
    };
    const runs = await Promise.all(
      Array.from({ length: 4 }, () => applyMigrations({ databaseUrl, migrationsDir, log, afterMigrations })),
    );
    expect(runs.flat()).toEqual([FIRST]);
    expect(inHookMax).toBe(1);
  });

  test('a database that a newer release has migrated is left alone', async () => {
    await migration(SECOND, 'CREATE TABLE second (id int);');
    await apply();
    await rm(join(migrationsDir, SECOND), { recursive: true });
    await expect(apply()).rejects.toMatchObject({
      code: 'database_newer',
      message: expect.stringContaining(SECOND) as unknown,
    });
  });

  test.each([
    ['nothing listens', (): string => 'postgresql://u:s3cret@127.0.0.1:1/d', 'ECONNREFUSED 127.0.0.1:1'],
    ['no such database', (): string => withDatabase('absent'), 'database "absent" does not exist'],
  ])('an unreachable database is one line without the password: %s', async (_name, url, reason) => {
    const error: unknown = await applyMigrations({ databaseUrl: url(), migrationsDir, log }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: 'database_unreachable',
      message: expect.stringContaining(reason) as unknown,
    });
    expect((error as Error).message).not.toMatch(/\n|s3cret/);
  });

  test("the project's own migrations can be applied", async () => {
    const names = await migrationNames(ownMigrationsDir());
    expect(await applyMigrations({ databaseUrl, migrationsDir: ownMigrationsDir(), log })).toEqual(names);
  });
});

describe('schemaState', () => {
  test('a database that was never migrated is behind with everything', async () => {
    expect(await state()).toEqual({ state: 'behind', pending: [FIRST] });
  });

  test('current, behind and ahead', async () => {
    await apply();
    expect(await state()).toEqual({ state: 'current' });
    await migration(SECOND, 'SELECT 1;');
    expect(await state()).toEqual({ state: 'behind', pending: [SECOND] });
    await apply();
    await rm(join(migrationsDir, SECOND), { recursive: true });
    expect(await state()).toEqual({ state: 'ahead', unknown: [SECOND] });
  });

  test('an unreachable database is an error, not a state', async () => {
    const failure = new Error('connection lost');
    await expect(schemaState(() => Promise.reject(failure), [FIRST])).rejects.toBe(failure);
  });
});

function apply(): Promise<string[]> {
  return applyMigrations({ databaseUrl, migrationsDir, log });
}

async function state(): ReturnType<typeof schemaState> {
  return schemaState((sql) => onDatabase(sql), await migrationNames(migrationsDir));
}

async function migration(name: string, sql: string): Promise<void> {
  await mkdir(join(migrationsDir, name), { recursive: true });
  await writeFile(join(migrationsDir, name, 'migration.sql'), sql);
}

function withDatabase(name: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

function onAdmin(sql: string): Promise<unknown[]> {
  return on(adminUrl, sql);
}

function onDatabase(sql: string): Promise<unknown[]> {
  return on(databaseUrl, sql);
}

async function on(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
