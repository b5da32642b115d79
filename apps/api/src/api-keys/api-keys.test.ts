import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { MERCHANT_SCOPES, PLATFORM_SCOPES } from '#adapters/postgres/api-keys.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import type { ApiKeyView } from './api-key.schema.js';

type NewKey = ApiKeyView & { readonly key: string };

let db: TestDatabase;
let api: ApiUnderTest;
/** Another process on the same database. */
let other: ApiUnderTest;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  other = await startApi({ databaseUrl: db.databaseUrl, platformKey: api.platformKey });
}, 60_000);

afterAll(async () => {
  await api.close();
  await other.close();
  await db.drop();
});

async function create(path: string, body: object): Promise<NewKey> {
  const answer = await api.call<NewKey>(`POST ${path}`, { body });
  expect(answer.status).toBe(201);
  return answer.body;
}

describe("a merchant's keys", () => {
  test('a key is shown once and has what a merchant may have', async () => {
    const { id } = await api.merchant();
    const path = `/v1/merchants/${id}/api-keys`;
    const { key, ...view } = await create(path, { name: 'shop' });
    expect(key).toMatch(/^phk_[0-9a-z]{39}$/);
    expect(view).toMatchObject({
      merchant_id: id,
      name: 'shop',
      prefix: key.slice(0, 10),
      scopes: MERCHANT_SCOPES,
      expires_at: null,
    });
    const list = await api.call<{ data: ApiKeyView[] }>(`GET ${path}`);
    expect(list.body.data[0]).toEqual(view);
    expect(JSON.stringify(list.body)).not.toContain(key);
    const row = await api.database.apiKey.findFirstOrThrow({ where: { prefix: view.prefix } });
    expect(JSON.stringify(row)).not.toContain(key);
  });

  test.each([
    [{ scopes: ['admin'] }, 'scopes.0'],
    [{ scopes: ['webhooks:read', 'events:write'] }, 'scopes.1'],
    [{ scopes: ['webhooks:read', 'webhooks:read'] }, 'scopes'],
    [{ scopes: [] }, 'scopes'],
    [{ scopes: null }, 'scopes'],
    [{ expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
    [{ expires_at: 'tomorrow' }, 'expires_at'],
    [{ expires_at: 4_102_444_800 }, 'expires_at'],
    [{ key: 'my own' }, 'key'],
  ])('%j is 422', async (field, path) => {
    const { id } = await api.merchant();
    expect(
      await api.call(`POST /v1/merchants/${id}/api-keys`, { body: { name: 'x', ...field } }),
    ).toMatchObject({
      status: 422,
      body: { data: { errors: [{ path }] } },
    });
  });

  test('revoked here, refused there with the next request', async () => {
    const { id } = await api.merchant();
    const path = `/v1/merchants/${id}/api-keys`;
    const { id: keyId, key } = await create(path, { name: 'short-lived' });
    // 403: the key is known, and calls to /v1/merchants need another scope.
    expect(await other.call('GET /v1/merchants', { key })).toMatchObject({ status: 403 });
    expect(await api.call(`DELETE ${path}/${keyId}`)).toMatchObject({ status: 204, body: '' });
    expect(await other.call('GET /v1/merchants', { key })).toMatchObject({ status: 401 });
    expect(await api.call(`DELETE ${path}/${keyId}`)).toMatchObject({ status: 404 });
    expect(
      (await api.call<{ data: ApiKeyView[] }>(`GET ${path}`)).body.data.map((view) => view.id),
    ).not.toContain(keyId);
  });

  test('a key is found only under its own merchant', async () => {
    const [one, two] = [await api.merchant(), await api.merchant()];
    const { id: keyId, key } = await create(`/v1/merchants/${one.id}/api-keys`, { name: 'mine' });
    expect(await api.call(`DELETE /v1/merchants/${two.id}/api-keys/${keyId}`)).toMatchObject({ status: 404 });
    expect(await api.call(`DELETE /v1/api-keys/${keyId}`)).toMatchObject({ status: 404 });
    expect(await api.call(`DELETE /v1/merchants/${one.id}/api-keys/nonsense`)).toMatchObject({ status: 404 });
    expect(await api.call('GET /v1/merchants', { key })).toMatchObject({ status: 403 });
  });

  test('an expired key is dead', async () => {
    const { id } = await api.merchant();
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const {
      id: keyId,
      key,
      expires_at,
    } = await create(`/v1/merchants/${id}/api-keys`, {
      name: 'x',
      expires_at: expiresAt,
    });
    expect(expires_at).toBe(expiresAt);
    expect(await api.call('GET /v1/merchants', { key })).toMatchObject({ status: 403 });
    // Time passes: the row is what would be there an hour later.
    await api.database.$executeRaw`UPDATE api_keys SET expires_at = now() WHERE prefix = ${key.slice(0, 10)}`;
    expect(await api.call('GET /v1/merchants', { key })).toMatchObject({ status: 401 });
    expect(keyId).toMatch(/^key_/);
  });
});

describe('platform keys', () => {
  test('create, get, list, revoke', async () => {
    const { key, ...view } = await create('/v1/api-keys', { name: 'backend' });
    expect(view).toMatchObject({ merchant_id: null, scopes: PLATFORM_SCOPES });
    expect(await api.call(`GET /v1/api-keys/${view.id}`)).toMatchObject({ status: 200, body: view });
    const { body } = await other.call<{ data: ApiKeyView[] }>('GET /v1/api-keys', { key });
    expect(body.data.map(({ name }) => name)).toEqual(['backend', 'environment']);
    // It may revoke itself.
    expect(await api.call(`DELETE /v1/api-keys/${view.id}`, { key })).toMatchObject({ status: 204 });
    expect(await other.call('GET /v1/api-keys', { key })).toMatchObject({ status: 401 });
    expect(await api.call(`GET /v1/api-keys/${view.id}`)).toMatchObject({ status: 404 });
  });

  test('a key has the scopes that it was given and no more', async () => {
    const { key } = await create('/v1/api-keys', { name: 'sender', scopes: ['events:write'] });
    expect(await api.call('POST /v1/merchants', { key, body: { name: 'x' } })).toMatchObject({
      status: 403,
      body: { code: 'forbidden', message: 'The key lacks the scope admin.' },
    });
  });
});

describe('idempotent POST', () => {
  const post = (
    body: object | string,
    idempotencyKey: string,
    path = '/v1/api-keys',
    on = api,
  ): Promise<{ status: number; body: NewKey }> =>
    on.call<NewKey>(`POST ${path}`, { body, headers: { 'idempotency-key': idempotencyKey } });

  test('the same again is the same answer, key and all, and nothing new', async () => {
    const first = await post({ name: 'once' }, 'again');
    const second = await post({ name: 'once' }, 'again', '/v1/api-keys', other);
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(await api.database.apiKey.count({ where: { name: 'once' } })).toBe(1);
    const [row] = await api.database.idempotencyKey.findMany({ where: { key: 'again' } });
    expect(Buffer.from(row?.responseSealed ?? []).includes(first.body.key)).toBe(false);
    expect((row?.expiresAt?.getTime() ?? 0) - (row?.createdAt.getTime() ?? 0)).toBe(24 * 3_600_000);
  });

  test('other content is a conflict: another body, another path', async () => {
    await post({ name: 'a' }, 'taken');
    const conflict = { status: 409, body: { code: 'idempotency_conflict' } };
    expect(await post({ name: 'b' }, 'taken')).toMatchObject(conflict);
    expect(await post({ name: 'a' }, 'taken', '/v1/merchants')).toMatchObject(conflict);
  });

  test('a key is per merchant', async () => {
    const [one, two] = [await api.merchant(), await api.merchant()];
    const statuses = [
      await post({ name: 'mine' }, 'shared', `/v1/merchants/${one.id}/api-keys`),
      await post({ name: 'yours' }, 'shared', `/v1/merchants/${two.id}/api-keys`),
      await post({ name: 'ours' }, 'shared'),
    ].map(({ status }) => status);
    expect(statuses).toEqual([201, 201, 201]);
  });

  test('twenty at once, in two processes, make one', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        post({ name: 'race' }, 'race', '/v1/api-keys', index % 2 ? api : other),
      ),
    );
    expect(new Set(answers.map(({ body }) => body.key)).size).toBe(1);
    expect(answers.every(({ status }) => status === 201)).toBe(true);
    expect(await api.database.apiKey.count({ where: { name: 'race' } })).toBe(1);
  });

  test('what failed leaves the key free', async () => {
    await api.call('POST /v1/merchants', { body: { name: 'holder', external_id: 'held' } });
    const body = { name: 'late', external_id: 'held' };
    expect(await post(body, 'retry', '/v1/merchants')).toMatchObject({
      status: 409,
      body: { code: 'conflict' },
    });
    expect(await post({ name: 1 }, 'retry', '/v1/merchants')).toMatchObject({ status: 422 });
    await api.database.merchant.updateMany({ where: { externalId: 'held' }, data: { externalId: null } });
    expect(await post(body, 'retry', '/v1/merchants')).toMatchObject({ status: 201 });
  });

  test('after a day the key is free again', async () => {
    const first = await post({ name: 'old' }, 'aged');
    // Time passes: the row is what would be there a day later.
    await api.database.idempotencyKey.updateMany({
      where: { key: 'aged' },
      data: { expiresAt: new Date(Date.now() - 1) },
    });
    const second = await post({ name: 'new' }, 'aged');
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
    expect((await post({ name: 'new' }, 'aged')).body).toEqual(second.body);
  });

  test.each(['', 'x'.repeat(256), 'caf\u00e9', 'tab\tbed'])('%j is no key', async (idempotencyKey) => {
    expect(await post({ name: 'x' }, idempotencyKey)).toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'Idempotency-Key' }] } },
    });
  });
});

test('the key of the environment replaces the one before, in every process', async () => {
  const before = 'a platform key of the operator';
  const after = 'another platform key, with blanks';
  const first = await startApi({ databaseUrl: db.databaseUrl, platformKey: before });
  expect(await first.call('GET /v1/api-keys')).toMatchObject({ status: 200 });
  const second = await startApi({ databaseUrl: db.databaseUrl, platformKey: after });
  expect(await first.call('GET /v1/api-keys')).toMatchObject({ status: 401 });
  expect(await first.call('GET /v1/api-keys', { key: after })).toMatchObject({ status: 200 });
  const third = await startApi({ databaseUrl: db.databaseUrl, platformKey: before });
  expect(await second.call('GET /v1/api-keys', { key: before })).toMatchObject({ status: 200 });
  expect(await api.database.apiKey.count({ where: { source: 'environment', revokedAt: null } })).toBe(1);
  await Promise.all([first, second, third].map((each) => each.close()));
});
