// Observed: what the API says of events and attempts before and after the sweep, over rows that are days old. The sweep is
// called as a worker calls it.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { erasePayloads, findPayloadRetentions } from '#adapters/postgres/erase-payloads.js';
import { formatId, parseId } from '#domain/ids.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { addDelivery, type DeliveryFixture, testIds } from '#adapters/postgres/delivery-log-fixtures.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type ApiUnderTest, startApi } from '../api-harness.js';

const DAY_MS = 86_400_000;
const OLD_MS = Date.now() - 8 * DAY_MS;

let db: TestDatabase;
let api: ApiUnderTest;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  await ensurePartitions(api.database, OLD_MS);
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

interface Shop {
  readonly id: string;
  readonly merchantId: string;
  readonly endpointId: string;
}

async function shop(): Promise<Shop> {
  const { id } = await api.merchant();
  const merchantId = parseId('mrc', id) ?? '';
  const webhook = { merchant_id: id, url: 'http://127.0.0.1:9/', events: ['*'] };
  const made = await api.call<{ id: string }>('POST /v1/webhooks', { body: webhook });
  return { id, merchantId, endpointId: parseId('wh', made.body.id) ?? '' };
}

/** An event of eight days ago with one delivery, and an attempt of that. */
async function old({ merchantId, endpointId }: Shop, fixture: Partial<DeliveryFixture> = {}) {
  const made = await addDelivery(api.database, {
    merchantId,
    endpointId,
    createdAtMs: OLD_MS,
    status: 'succeeded',
    outcome: 'succeeded',
    statusCode: 200,
    ...fixture,
  });
  await api.database.$executeRaw`
    INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, status_code,
                          request_url, request_headers, response_headers, response_body, response_body_truncated)
    VALUES (${testIds.uuidAt(OLD_MS + 5)}::uuid, ${made.id}::uuid, ${merchantId}::uuid, 1, 'initial', now(), 3, 'succeeded',
            200, 'http://127.0.0.1:9/', '[]', '[["server","x"]]', 'echo of it', false)`;
  return made;
}

function sweep({ merchantId }: Shop, beforeMs = Date.now() - 7 * DAY_MS): Promise<number> {
  return erasePayloads(api.database, { merchantId, beforeMs }, () => true);
}

async function hasData(eventId: string): Promise<boolean> {
  const { body } = await api.call<{ data: unknown }>(`GET /v1/events/${formatId('evt', eventId)}`);
  return body.data !== null;
}

test('is set on a merchant, from a day to as long as the log is kept', async () => {
  const { body } = await api.call<{ id: string }>('POST /v1/merchants', {
    body: { name: 'Shop', payload_retention_days: 7 },
  });
  const path = `/v1/merchants/${body.id}`;
  expect(body).toMatchObject({ payload_retention_days: 7 });
  for (const days of [30, 1, null])
    expect(await api.call(`PATCH ${path}`, { body: { payload_retention_days: days } })).toMatchObject({
      status: 200,
      body: { payload_retention_days: days },
    });
  for (const days of [31, 0, -1, 1.5, '7', 1e9, true, [7]]) {
    const invalid = { status: 422, body: { data: { errors: [{ path: 'payload_retention_days' }] } } };
    expect(await api.call(`PATCH ${path}`, { body: { payload_retention_days: days } })).toMatchObject(
      invalid,
    );
    const create = { name: 'Shop', payload_retention_days: days };
    expect(await api.call('POST /v1/merchants', { body: create })).toMatchObject(invalid);
  }
  await api.call(`PATCH ${path}`, { body: { payload_retention_days: 3 } });
  expect(await findPayloadRetentions(api.database)).toEqual([
    { merchantId: parseId('mrc', body.id), days: 3 },
  ]);
});

test('the bytes go, the log stays: data is null, a retry is refused, the same id is still known', async () => {
  const mine = await shop();
  const { id, eventId } = await old(mine);
  expect(await hasData(eventId)).toBe(true);
  expect(await sweep(mine)).toBe(1);
  expect(await sweep(mine)).toBe(0);
  expect(await hasData(eventId)).toBe(false);
  const path = `/v1/deliveries/${formatId('dlv', id)}`;
  expect((await api.call(`GET ${path}`)).body).toMatchObject({
    status: 'succeeded',
    event: { data: null },
    attempts: [
      { request: { body: null }, response: { headers: { server: 'x' }, body: null, body_truncated: false } },
    ],
  });
  expect(await api.call(`POST ${path}/retry`)).toMatchObject({
    status: 409,
    body: { code: 'payload_redacted' },
  });
});

test('an id that was given stays known as long as the event, its content too', async () => {
  const mine = await shop();
  const event = { merchant_id: mine.id, type: 'payment.success', id: 'pay.1', data: { amount: '1' } };
  const first = await api.call('POST /v1/events', { body: event });
  expect(first.status).toBe(202);
  await api.database.$executeRaw`DELETE FROM open_deliveries WHERE merchant_id = ${mine.merchantId}::uuid`;
  await api.database.$executeRaw`
    UPDATE deliveries SET status = 'cancelled', completed_at = now() - interval '1 hour' WHERE merchant_id = ${mine.merchantId}::uuid`;
  expect(await sweep(mine, Date.now() + DAY_MS)).toBe(1);
  const again = await api.call('POST /v1/events', { body: event });
  expect({ status: again.status, body: again.body }).toEqual({ status: 202, body: first.body });
  const other = { ...event, data: { amount: '2' } };
  expect(await api.call('POST /v1/events', { body: other })).toMatchObject({
    status: 409,
    body: { code: 'idempotency_conflict' },
  });
});

test('what is not final, or has been so for a moment only, is passed by and taken later', async () => {
  const mine = await shop();
  const open = await old(mine, { status: 'retrying' });
  const recent = await old(mine);
  await api.database.$executeRaw`UPDATE deliveries SET completed_at = now() WHERE id = ${recent.id}::uuid`;
  const triedAgain = await old(mine, { isOpen: true, isSingle: true });
  const done = await old(mine);
  expect(await sweep(mine)).toBe(1);
  expect(await Promise.all([open, recent, triedAgain, done].map(({ eventId }) => hasData(eventId)))).toEqual([
    true,
    true,
    true,
    false,
  ]);
  expect(await sweep(mine)).toBe(0);
  await api.database.$executeRaw`DELETE FROM open_deliveries WHERE merchant_id = ${mine.merchantId}::uuid`;
  await api.database.$executeRaw`
    UPDATE deliveries SET status = 'failed', completed_at = now() - interval '1 hour' WHERE merchant_id = ${mine.merchantId}::uuid`;
  // By several workers at once.
  const erased = await Promise.all([sweep(mine), sweep(mine), sweep(mine)]);
  expect(erased.reduce((sum, count) => sum + count)).toBe(3);
  const held = await api.database
    .$queryRaw`SELECT FROM held_payloads WHERE merchant_id = ${mine.merchantId}::uuid`;
  expect(held).toEqual([]);
});

test("younger events and other merchants' are left alone, and many are taken in batches", async () => {
  const [mine, other] = [await shop(), await shop()];
  const theirs = await old(other);
  const young = await addDelivery(api.database, {
    ...mine,
    createdAtMs: Date.now() - 6 * DAY_MS,
    status: 'succeeded',
  });
  await api.database.$executeRaw`
    INSERT INTO events (id, merchant_id, type, data, created_at, delivery_count)
    SELECT ids.id, ${mine.merchantId}::uuid, 'x', '\\x7b7d', now(), 0
    FROM unnest(${Array.from({ length: 1_200 }, () => testIds.uuidAt(OLD_MS))}::uuid[]) AS ids (id)`;
  let asked = 0;
  const first = await erasePayloads(
    api.database,
    { merchantId: mine.merchantId, beforeMs: Date.now() - 7 * DAY_MS },
    () => asked++ < 3,
  );
  expect(first).toBe(1_000);
  expect(await sweep(mine)).toBe(200);
  expect(await hasData(young.eventId)).toBe(true);
  expect(await hasData(theirs.eventId)).toBe(true);
});
