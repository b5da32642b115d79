import { expect, test } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase } from './postgres.js';

test('each database is migrated and its own', async () => {
  const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  expect(one.databaseUrl).not.toBe(other.databaseUrl);
  await query(one.databaseUrl, 'CREATE TABLE only_here (id int)');
  expect(await query(other.databaseUrl, "SELECT to_regclass('only_here') AS found")).toEqual([
    { found: null },
  ]);
  expect(await query(other.databaseUrl, "SELECT to_regclass('events')::text AS found")).toEqual([
    { found: 'events' },
  ]);
  await Promise.all([one.drop(), other.drop()]);
});

test('a connection that is left open is an error that names its last statement, and the database goes', async () => {
  const database = await createTestDatabase();
  const leaked = new pg.Client({ connectionString: database.databaseUrl, application_name: 'leaky' });
  leaked.on('error', () => undefined);
  await leaked.connect();
  await leaked.query('SELECT 42');
  await expect(database.drop()).rejects.toThrow('leaky: SELECT 42');
  await expect(query(database.databaseUrl, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' });
}, 20_000);

async function query(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
