import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase } from '#adapters/postgres/database.js';
import { databaseProblem } from '#adapters/postgres/readiness.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';

let db: TestDatabase;
let api: ApiUnderTest;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

const ready = (): Promise<unknown> => api.call('GET /readyz', { key: null });
const notReady = (problem: unknown): object => ({
  status: 503,
  headers: { 'retry-after': '1' },
  body: { code: 'unavailable', data: { checks: { database: problem } } },
});

test('alive, ready and measured without a key', async () => {
  expect(await api.call('GET /healthz', { key: null })).toMatchObject({
    status: 200,
    body: { status: 'ok' },
  });
  expect(await ready()).toMatchObject({ status: 200, body: { status: 'ready', checks: { database: 'ok' } } });
  const metrics = await api.call<string>('GET /metrics', { key: null });
  expect(metrics.headers['content-type']).toContain('text/plain');
  expect(metrics.body).toContain(
    'posthorn_http_request_duration_seconds_count{method="GET",route="/healthz",status="200"} 1',
  );
});

describe('not ready', () => {
  test('a migration that is not there', async () => {
    await api.database.$executeRaw`UPDATE _prisma_migrations SET finished_at = NULL`;
    expect(await ready()).toMatchObject(notReady(expect.stringMatching(/^migrations are missing: \d+_/)));
    await api.database.$executeRaw`UPDATE _prisma_migrations SET finished_at = now()`;
    expect(await ready()).toMatchObject({ status: 200 });
  });

  test("tomorrow's partition that is not there", async () => {
    const day = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
    await api.database.$executeRawUnsafe(`ALTER TABLE events DETACH PARTITION events_p${day}`);
    expect(await ready()).toMatchObject(notReady(`partitions are missing: events_p${day}`));
  });

  test('a database that is read-only', async () => {
    const url = new URL(db.databaseUrl);
    url.searchParams.set('options', '-c default_transaction_read_only=on');
    const database = connectDatabase(url.href, 1);
    expect(await databaseProblem(database, [], Date.now())).toBe('PostgreSQL is read-only');
    await database.$disconnect();
  });
});
