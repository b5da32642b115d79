import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { addDelivery, DAY_ONE_MS, type DeliveryFixture } from '#adapters/postgres/delivery-log-fixtures.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { parseId } from '#domain/ids.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import type { RecoveryView } from './recovery.schema.js';

let db: TestDatabase;
let api: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };
let other: { readonly id: string; readonly key: string };
let webhookId: string;

const SINCE = new Date(DAY_ONE_MS).toISOString();

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  await ensurePartitions(api.database, DAY_ONE_MS);
  [merchant, other] = await Promise.all([api.merchant(), api.merchant()]);
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

beforeEach(async () => {
  const { body } = await api.call<{ id: string }>('POST /v1/webhooks', {
    key: merchant.key,
    body: { url: 'http://127.0.0.1:9/', events: ['*'] },
  });
  webhookId = body.id;
});

async function add(fixture: Partial<DeliveryFixture> = {}): Promise<void> {
  await addDelivery(api.database, {
    merchantId: parseId('mrc', merchant.id) ?? '',
    endpointId: parseId('wh', webhookId) ?? '',
    status: 'failed',
    ...fixture,
  });
}

const create = (body: unknown, key = merchant.key, headers: Readonly<Record<string, string>> = {}) =>
  api.call<RecoveryView & { code: string; message: string; data: unknown }>(
    `POST /v1/webhooks/${webhookId}/recoveries`,
    { key, body, headers },
  );

test('a recovery as it was asked for, counted, shown, listed and cancelled', async () => {
  for (let n = 0; n < 3; n++) await add({ eventType: 'refund.processed' });
  await add({ eventType: 'refund.processed', status: 'cancelled', data: null });
  await add();
  const until = new Date(DAY_ONE_MS + 86_400_000).toISOString();
  const made = await create({
    since: SINCE,
    until,
    statuses: ['failed', 'cancelled'],
    event_types: ['refund.processed'],
    rate_per_second: 7,
  });
  expect(made).toMatchObject({
    status: 202,
    body: {
      id: expect.stringMatching(/^rec_/),
      webhook_id: webhookId,
      merchant_id: merchant.id,
      since: SINCE,
      until,
      statuses: ['failed', 'cancelled'],
      event_types: ['refund.processed'],
      rate_per_second: 7,
      status: 'running',
      total: 3,
      done: 0,
      skipped: 0,
      completed_at: null,
    },
  });
  const { id } = made.body;
  expect(await api.call(`GET /v1/recoveries/${id}`, { key: merchant.key })).toMatchObject({
    status: 200,
    body: made.body,
  });
  const overlapping = await create({ since: SINCE });
  expect(overlapping).toMatchObject({ status: 409, body: { code: 'conflict', data: { recovery_id: id } } });
  const apart = await create({ since: SINCE, event_types: ['payment.success'] });
  expect(apart).toMatchObject({
    status: 202,
    body: { statuses: ['failed'], event_types: ['payment.success'], rate_per_second: null, total: 1 },
  });
  const list = await api.call<{ data: RecoveryView[]; next_cursor: string }>(
    `GET /v1/webhooks/${webhookId}/recoveries?limit=1`,
    { key: merchant.key },
  );
  expect(list.body.data).toEqual([apart.body]);
  const second = await api.call<{ data: RecoveryView[]; next_cursor: string | null }>(
    `GET /v1/webhooks/${webhookId}/recoveries?limit=1&cursor=${list.body.next_cursor}`,
    { key: merchant.key },
  );
  expect(second.body).toEqual({ data: [made.body], next_cursor: null });
  const cancelled = await api.call(`POST /v1/recoveries/${id}/cancel`, { key: merchant.key });
  expect(cancelled).toMatchObject({
    status: 202,
    body: { ...made.body, status: 'cancelled', completed_at: expect.any(String) },
  });
  expect(await api.call(`POST /v1/recoveries/${id}/cancel`)).toMatchObject({ status: 409 });
});

test('nothing to recover: done at once', async () => {
  expect(await create({ since: SINCE })).toMatchObject({
    status: 202,
    body: { status: 'completed', total: 0, done: 0, completed_at: expect.any(String) },
  });
});

test('a dry run counts and keeps nothing', async () => {
  await add();
  await add({ data: null });
  const dry = await create({ since: SINCE, dry_run: true });
  expect(dry).toMatchObject({ status: 202, body: { id: null, status: 'dry_run', total: 1, skipped: 1 } });
  expect(await create({ since: SINCE })).toMatchObject({ status: 202, body: { total: 1 } });
});

test('all of it erased: refused, naming how many', async () => {
  for (let n = 0; n < 3; n++) await add({ data: null });
  const refused = await create({ since: SINCE });
  expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_request' } });
  expect(refused.body.message).toContain('3 deliveries');
  expect(await create({ since: SINCE, dry_run: true })).toMatchObject({ body: { total: 0, skipped: 3 } });
});

test('a disabled webhook is a conflict, a paused one is not, a deleted one is not there', async () => {
  await add();
  const become = (status: string) =>
    api.call(`PATCH /v1/webhooks/${webhookId}`, { key: merchant.key, body: { status } });
  await become('disabled');
  expect(await create({ since: SINCE })).toMatchObject({ status: 409, body: { code: 'conflict' } });
  await become('paused');
  expect(await create({ since: SINCE })).toMatchObject({ status: 202 });
  await api.call(`DELETE /v1/webhooks/${webhookId}`);
  expect(await create({ since: SINCE })).toMatchObject({ status: 404 });
});

test('the same Idempotency-Key answers as the first time and begins nothing new', async () => {
  await add();
  const headers = { 'idempotency-key': `recover-${webhookId}` };
  const first = await create({ since: SINCE }, merchant.key, headers);
  expect(await create({ since: SINCE }, merchant.key, headers)).toMatchObject({
    status: 202,
    body: first.body,
  });
});

describe('refused, and nothing is made', () => {
  const right = { since: SINCE };
  test.each<[string, unknown, string]>([
    ['no since', {}, 'since'],
    ['a since that is none', { since: 'yesterday' }, 'since'],
    ['a since without a zone', { since: '2026-03-01T00:00:00' }, 'since'],
    ['a since to come', { since: '2999-01-01T00:00:00Z' }, 'since'],
    ['until before since', { ...right, until: '2026-02-28T00:00:00Z' }, 'until'],
    ['until at since', { ...right, until: SINCE }, 'until'],
    ['an unknown status', { ...right, statuses: ['lost'] }, 'statuses.0'],
    ['an open status', { ...right, statuses: ['failed', 'retrying'] }, 'statuses.1'],
    ['no statuses', { ...right, statuses: [] }, 'statuses'],
    ['a status twice', { ...right, statuses: ['failed', 'failed'] }, 'statuses'],
    ['no types', { ...right, event_types: [] }, 'event_types'],
    ['a pattern for a type', { ...right, event_types: ['payment.*'] }, 'event_types.0'],
    ['too many types', { ...right, event_types: Array(101).fill('a') }, 'event_types'],
    ['a rate of 0', { ...right, rate_per_second: 0 }, 'rate_per_second'],
    ['a rate of 1.5', { ...right, rate_per_second: 1.5 }, 'rate_per_second'],
    ['a rate above all', { ...right, rate_per_second: 10_001 }, 'rate_per_second'],
    ['a text for dry_run', { ...right, dry_run: 'true' }, 'dry_run'],
    ['an unknown field', { ...right, status: 'failed' }, 'status'],
  ])('%s', async (_, body, path) => {
    const refused = await create(body);
    expect(refused).toMatchObject({
      status: 422,
      body: { code: 'invalid_request', data: { errors: [expect.objectContaining({ path })] } },
    });
    const list = await api.call<{ data: unknown[] }>(`GET /v1/webhooks/${webhookId}/recoveries`);
    expect(list.body.data).toEqual([]);
  });
});

test('another merchant sees and changes nothing; a key needs the scope', async () => {
  await add();
  const { body } = await create({ since: SINCE, rate_per_second: 1 });
  const key = other.key;
  expect(await create({ since: SINCE }, key)).toMatchObject({ status: 404 });
  for (const call of [
    `GET /v1/webhooks/${webhookId}/recoveries`,
    `GET /v1/recoveries/${body.id}`,
    `POST /v1/recoveries/${body.id}/cancel`,
    `GET /v1/recoveries/rec_x`,
  ])
    expect(await api.call(call, { key })).toMatchObject({ status: 404, body: { code: 'not_found' } });
  const made = await api.call<{ key: string }>(`POST /v1/merchants/${merchant.id}/api-keys`, {
    body: { name: 'reader', scopes: ['deliveries:read'] },
  });
  const reader = made.body.key;
  expect(await create({ since: SINCE }, reader)).toMatchObject({ status: 403 });
  expect(await api.call(`POST /v1/recoveries/${body.id}/cancel`, { key: reader })).toMatchObject({
    status: 403,
  });
  expect(await api.call(`GET /v1/recoveries/${body.id}`, { key: reader })).toMatchObject({ status: 200 });
});
