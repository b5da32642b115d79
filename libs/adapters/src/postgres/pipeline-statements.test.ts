import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { databaseErrorCode, isDatabaseAway, isItemsFault } from './database-error.js';
import { Prisma } from './generated/client.js';
import { PipelineStatements } from './pipeline-statements.js';

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let statements: PipelineStatements;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  statements = new PipelineStatements(testDatabase.databaseUrl, 2);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await statements.close();
  await testDatabase.drop();
});

test('every connection plans once, and by index', async () => {
  const settings = () => statements.$queryRaw<object[]>`
    SELECT current_setting('plan_cache_mode') AS plans, current_setting('enable_seqscan') AS seqscan, pg_sleep(0.05)`;
  const [first, second] = await Promise.all([settings(), settings()]);
  for (const rows of [first, second])
    expect(rows).toEqual([{ plans: 'force_generic_plan', seqscan: 'off', pg_sleep: '' }]);
});

test('a statement has a name, so that a second call of it is neither parsed nor planned', async () => {
  const one = new PipelineStatements(testDatabase.databaseUrl, 1);
  try {
    const doubled = (n: number) => one.$queryRaw<object[]>`SELECT ${n}::int * 2 AS doubled`;
    expect(await doubled(2)).toEqual([{ doubled: 4 }]);
    expect(await doubled(3)).toEqual([{ doubled: 6 }]);
    const prepared = await one.$queryRaw<{ plans: bigint }[]>`
      SELECT generic_plans AS plans FROM pg_prepared_statements WHERE statement LIKE '%* 2 AS doubled%'
        AND statement NOT LIKE '%pg_prepared_statements%'`;
    expect(prepared).toEqual([{ plans: 2n }]);
  } finally {
    await one.close();
  }
});

test('values come as they do through Prisma, and parts of SQL are put together as there', async () => {
  const part = Prisma.sql`${9_007_199_254_740_993n}::bigint AS big`;
  const [row] = await statements.$queryRaw<Record<string, unknown>[]>`
    SELECT ${part}, ${Uint8Array.of(0, 255)}::bytea AS bytes, ${['a', null]}::text[] AS texts,
           ${new Date(1_700_000_000_123)}::timestamptz(3) AS at, ${null}::int AS nothing`;
  expect(row).toEqual({
    big: 9_007_199_254_740_993n,
    bytes: Buffer.from([0, 255]),
    texts: ['a', null],
    at: new Date(1_700_000_000_123),
    nothing: null,
  });
});

test('executing tells how many rows were written', async () => {
  const name = 'pipeline-statements';
  await expect(statements.$executeRaw`
    INSERT INTO merchants (id, name) SELECT gen_random_uuid(), ${name} FROM generate_series(1, 3)`).resolves.toBe(
    3,
  );
  await expect(statements.$executeRaw`DELETE FROM merchants WHERE name = ${name}`).resolves.toBe(3);
});

test("errors say whose fault they are: a row's, or the database's", async () => {
  const fault: unknown = await statements.$queryRaw`SELECT 1 / ${0}::int`.catch((error: unknown) => error);
  expect([databaseErrorCode(fault), isItemsFault(fault), isDatabaseAway(fault)]).toEqual([
    '22012',
    true,
    false,
  ]);
  const nowhere = new PipelineStatements('postgres://127.0.0.1:1/nowhere', 1);
  const away: unknown = await nowhere.$queryRaw`SELECT 1`.catch((error: unknown) => error);
  expect([databaseErrorCode(away), isItemsFault(away), isDatabaseAway(away)]).toEqual([
    'ECONNREFUSED',
    false,
    true,
  ]);
  await nowhere.close();
});

test('what runs in order begins when the one before has committed, and one that fails does not concern the next', async () => {
  const { inOrder } = statements;
  const name = 'in order';
  const answers = await Promise.allSettled([
    inOrder.$executeRaw`INSERT INTO merchants (id, name) SELECT gen_random_uuid(), ${name} FROM pg_sleep(0.05)`,
    inOrder.$queryRaw`SELECT 1 / ${0}::int`,
    inOrder.$queryRaw<object[]>`SELECT count(*)::int AS count FROM merchants WHERE name = ${name}`,
  ]);
  expect(answers).toMatchObject([
    { status: 'fulfilled', value: 1 },
    { status: 'rejected', reason: { code: '22012' } },
    { status: 'fulfilled', value: [{ count: 1 }] },
  ]);
  await inOrder.$executeRaw`DELETE FROM merchants WHERE name = ${name}`;
});

test('a connection that breaks fails what was sent on it as the database being away, and is replaced', async () => {
  const { inOrder } = statements;
  const pidOf = async (): Promise<number> => {
    const [row] = await inOrder.$queryRaw<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
    return row?.pid ?? 0;
  };
  const pid = await pidOf();
  const broken = Promise.allSettled([
    inOrder.$queryRaw`SELECT pg_terminate_backend(${pid}::int), pg_sleep(5)`,
    inOrder.$queryRaw`SELECT 2`,
  ]);
  for (const answer of await broken)
    expect(answer.status === 'rejected' && isDatabaseAway(answer.reason)).toBe(true);
  expect(await pidOf()).not.toBe(pid);
});
