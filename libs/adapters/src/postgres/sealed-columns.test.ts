import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { CANARY_COLUMN, SEALED_COLUMNS } from './sealed-columns.js';

let db: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  db = await createTestDatabase();
  client = new pg.Client({ connectionString: db.databaseUrl });
  await client.connect();
}, 60_000);

afterAll(async () => {
  await client.end();
  await db.drop();
});

test('every column of the schema that is named as sealed is known, and every known one is there', async () => {
  const { rows } = await client.query<{ name: string }>(
    `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
     WHERE table_schema = 'public' AND column_name ~ '(^|_)sealed($|_)' AND data_type = 'bytea'`,
  );
  expect(rows.map(({ name }) => name).sort()).toEqual(
    [...SEALED_COLUMNS, CANARY_COLUMN].map(({ table, column }) => `${table}.${column}`).sort(),
  );
});

test('each is gone through by its primary key', async () => {
  for (const { table, key } of SEALED_COLUMNS) {
    const { rows } = await client.query<{ column: string; type: string }>(
      `SELECT a.attname AS column, format_type(a.atttypid, NULL) AS type
       FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
       WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)`,
      [table],
    );
    expect({ table, key: rows }).toEqual({ table, key });
  }
});
