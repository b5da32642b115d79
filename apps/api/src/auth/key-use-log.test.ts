/* Real: PostgreSQL and the edge. The timer of a minute is stepped by hand. */
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { connectDatabase } from '#adapters/postgres/database.js';
import { recordKeyUses } from '#adapters/postgres/record-key-uses.js';
import { parseId, ID_PREFIXES } from '#domain/ids.js';
import { createLogger } from '#observability/logger.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import { KeyUseLog } from './key-use-log.js';

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

afterEach(() => {
  jest.useRealTimers();
});

interface KeyView {
  readonly id: string;
  readonly key: string;
  readonly last_used_at: string | null;
}

async function newKey(): Promise<KeyView> {
  return (await api.call<KeyView>('POST /v1/api-keys', { body: { name: 'k' } })).body;
}

async function lastUsed(id: string): Promise<string | null> {
  return (await api.call<KeyView>(`GET /v1/api-keys/${id}`)).body.last_used_at;
}

test('a use is kept in memory, and written when the process ends', async () => {
  const { id, key, last_used_at } = await newKey();
  expect(last_used_at).toBeNull();
  const process = await startApi({ databaseUrl: db.databaseUrl, platformKey: api.platformKey });
  const beforeMs = Date.now();
  expect(await process.call('GET /v1/merchants', { key })).toMatchObject({ status: 200 });
  const afterMs = Date.now();
  expect(await lastUsed(id)).toBeNull();
  await process.close();
  const usedMs = Date.parse((await lastUsed(id)) ?? '');
  expect(usedMs).toBeGreaterThanOrEqual(beforeMs - 50);
  expect(usedMs).toBeLessThanOrEqual(afterMs + 50);
  const list = await api.call<{ data: KeyView[] }>('GET /v1/api-keys');
  expect(list.body.data.find((view) => view.id === id)?.last_used_at).toBe(new Date(usedMs).toISOString());
});

test('a refused call is a use of its key too, and a wrong key is none', async () => {
  const { id: merchantId } = await api.merchant();
  const path = `/v1/merchants/${merchantId}/api-keys`;
  const { body } = await api.call<KeyView>(`POST ${path}`, { body: { name: 'm' } });
  await api.call('GET /v1/merchants', { key: body.key });
  await api.app.get(KeyUseLog).flush();
  const { body: list } = await api.call<{ data: KeyView[] }>(`GET ${path}`);
  expect(list.data.map((view) => view.last_used_at !== null)).toEqual([true, false]);
});

test('it is written once a minute', async () => {
  jest.useFakeTimers({
    doNotFake: [
      'Date',
      'nextTick',
      'performance',
      'queueMicrotask',
      'setImmediate',
      'setTimeout',
      'clearTimeout',
    ],
  });
  const log = new KeyUseLog(
    api.database,
    new DatabaseClock(),
    createLogger({ level: 'silent', name: 'test' }),
  );
  log.onModuleInit();
  const { id } = await newKey();
  log.note(parseId(ID_PREFIXES.apiKey, id) as string);
  jest.advanceTimersByTime(59_999);
  expect(await lastUsed(id)).toBeNull();
  jest.advanceTimersByTime(1);
  await eventually(async () => expect(await lastUsed(id)).not.toBeNull());
  await log.onApplicationShutdown();
});

test('what another process saw later stays', async () => {
  const { id } = await newKey();
  const keyId = parseId(ID_PREFIXES.apiKey, id) as string;
  const [early, late] = [new Date('2030-01-01T00:00:00.000Z'), new Date('2030-01-01T00:00:01.000Z')];
  await recordKeyUses(api.database, [{ keyId, usedAt: late }]);
  await recordKeyUses(api.database, [{ keyId, usedAt: early }]);
  expect(await lastUsed(id)).toBe(late.toISOString());
});

test('what cannot be written is logged and dropped, and the next is written', async () => {
  const lines: string[] = [];
  const logger = createLogger({
    level: 'info',
    name: 'test',
    destination: { write: (line: string) => void lines.push(line) },
  });
  const nowhere = connectDatabase('postgres://nobody@127.0.0.1:1/nothing', 1);
  const log = new KeyUseLog(nowhere, new DatabaseClock(), logger);
  log.note('00000000-0000-0000-0000-000000000000');
  await log.flush();
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ keys: 1, msg: expect.stringContaining('last used') });
  await log.flush();
  expect(lines).toHaveLength(1);
  await nowhere.$disconnect();
});
