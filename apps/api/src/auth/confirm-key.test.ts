/*
 * POST /v1/events takes its principal from memory and confirms it in the transaction that accepts. From outside this
 * must not show: a dead key is told 401 by the next request, whatever else is wrong with that request.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';

let db: TestDatabase;
let api: ApiUnderTest;
let other: ApiUnderTest;
let merchantId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  other = await startApi({ databaseUrl: db.databaseUrl, platformKey: api.platformKey });
  ({ id: merchantId } = await api.merchant());
}, 60_000);

afterAll(async () => {
  await api.close();
  await other.close();
  await db.drop();
});

const right = (): object => ({ merchant_id: merchantId, type: 'payment.success', data: {} });

test.each<[string, () => unknown]>([
  ['a right request', right],
  ['malformed JSON', () => '{'],
  ['an unknown field', () => ({ ...right(), x: 1 })],
  ['an unknown merchant', () => ({ ...right(), merchant_id: 'mrc_00000000000000000000000000' })],
])('a key revoked elsewhere is dead here: %s', async (_, body) => {
  const made = await other.call<{ id: string; key: string }>('POST /v1/api-keys', {
    body: { name: 'sender' },
  });
  const { id, key } = made.body;
  expect(await api.call('POST /v1/events', { key, body: right() })).toMatchObject({ status: 202 });
  expect((await api.call('POST /v1/events', { key, body: body() })).status).not.toBe(401);
  await other.call(`DELETE /v1/api-keys/${id}`);
  expect(await api.call('POST /v1/events', { key, body: body() })).toMatchObject({ status: 401 });
});
