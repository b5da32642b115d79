import { expect, test } from '@jest/globals';
import { createTestDatabase } from '#testkit/postgres.js';
import { connectDatabase } from './database.js';
import { StatementNames } from './statement-names.js';

test('a text keeps its name, another gets another, and beyond the bound there are none', () => {
  const names = new StatementNames(2);
  const first = names.of({ sql: 'SELECT 1' });
  expect(first).not.toBe('');
  expect(names.of({ sql: 'SELECT 2' })).not.toBe(first);
  expect(names.of({ sql: 'SELECT 3' })).toBe('');
  expect(names.of({ sql: 'SELECT 1' })).toBe(first);
});

test('a statement is planned once for its connection, also inside a transaction', async () => {
  const testDatabase = await createTestDatabase();
  const database = connectDatabase(testDatabase.databaseUrl, 1);
  try {
    const read = (db: Pick<typeof database, '$queryRaw'>, id: number) =>
      db.$queryRaw<{ n: number }[]>`SELECT ${id}::int + 40 AS n`;
    expect(await read(database, 1)).toEqual([{ n: 41 }]);
    expect(await read(database, 2)).toEqual([{ n: 42 }]);
    expect(await database.$transaction((transaction) => read(transaction, 3))).toEqual([{ n: 43 }]);
    const [prepared] = await database.$queryRaw<{ calls: bigint }[]>`
      SELECT generic_plans + custom_plans AS calls FROM pg_prepared_statements WHERE statement LIKE '%+ 40 AS n%'
      AND statement NOT LIKE '%pg_prepared_statements%'`;
    expect(prepared?.calls).toBe(3n);
  } finally {
    await database.$disconnect();
    await testDatabase.drop();
  }
});
