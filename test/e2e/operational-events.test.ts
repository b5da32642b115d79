/**
 * What Posthorn tells of endpoints and spent schedules, from outside.
 *
 * Doubled: time, by writing into a gate what days of failures would leave there. Observed: what arrives at endpoints of the
 * merchant and of the operator; that something is not told is seen in the database, where a notice stands as soon as the
 * attempt that it would tell of. Real processes: one API, two workers.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { parseId } from '#domain/ids.js';
import { OPERATIONAL_EVENT_TYPES } from '#domain/operational-event.js';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

let installation: Installation;
let receiver: Receiver;
let database: Database;
let client: ApiClient;
let merchantId: string;
let round = 0;

beforeAll(async () => {
  [installation, receiver] = await Promise.all([
    startInstallation({ queue: 'postgres', workers: 2 }),
    startReceiver(),
  ]);
  database = connectDatabase(installation.database.databaseUrl, 2);
  client = installation.client;
  expect(await operatorWebhook('/operator', ['*'])).toMatchObject({
    status: 201,
    body: { merchant_id: null, events: ['*'] },
  });
}, 60_000);

afterAll(async () => {
  await database.$disconnect();
  await installation.close();
  await receiver.close();
}, 30_000);

beforeEach(async () => {
  merchantId = await client.newMerchant();
  round += 1;
});

const TIMEOUT_MS = 40_000;

function operatorWebhook(path: string, events: string[]) {
  return client.post('/v1/webhooks', {
    merchant_id: null,
    url: receiver.url(path),
    events,
    retry_schedule_seconds: [0],
  });
}

/** @returns its id and path; one wait, of no time */
async function webhook(
  name: string,
  events: string[],
): Promise<{ readonly id: string; readonly path: string }> {
  const path = `/${round}/${name}`;
  const fields = { events, retry_schedule_seconds: [0] };
  const { id } = await client.newWebhook(merchantId, receiver.url(path), fields);
  return { id, path };
}

interface Told {
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What a receiver was told of a webhook, each event once, as its type and data. */
function told(path: string, webhookId: string): Told[] {
  const events = receiver.requests
    .filter((request) => request.path === path)
    .map(({ body }) => JSON.parse(body.toString('utf8')) as Told)
    .filter(({ data }) => data['webhook_id'] === webhookId);
  return [...new Map(events.map((event) => [event.id, event])).values()];
}

const typesTold = (path: string, webhookId: string): string[] =>
  told(path, webhookId)
    .map(({ type }) => type)
    .toSorted();

async function sendAndSettle(webhookId: string): Promise<void> {
  await client.sendEvent(merchantId);
  const endpointId = parseId('wh', webhookId);
  await eventually(async () => {
    const rows = await database.$queryRaw<object[]>`
      SELECT FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid`;
    expect(rows).toEqual([]);
  }, TIMEOUT_MS);
}

/** How many events were ever made of a webhook, for anybody, once nothing more waits to be told of it. */
function toldOf(webhookId: string): Promise<number> {
  const pattern = `%${webhookId}%`;
  return eventually(async () => {
    const waiting = await database.$queryRaw<object[]>`
      SELECT FROM notices WHERE endpoint_id = ${parseId('wh', webhookId)}::uuid`;
    expect(waiting).toEqual([]);
    const [row] = await database.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int AS count FROM events
      WHERE type = ANY (${[...OPERATIONAL_EVENT_TYPES]}::text[]) AND convert_from(data, 'UTF8') LIKE ${pattern}`;
    return row?.count ?? Number.NaN;
  }, TIMEOUT_MS);
}

test(
  'a webhook that fails and recovers: told to those who ask for it and to the operator, once each way, with no flapping',
  async () => {
    const shop = await webhook('shop', ['payment.*']);
    const listener = await webhook('listener', ['webhook.*', 'delivery.exhausted']);
    const everything = await webhook('everything', ['*']);
    receiver.on(shop.path, respond(503));
    await sendAndSettle(shop.id);
    const failing = ['delivery.exhausted', 'webhook.failing'];
    for (const path of [listener.path, '/operator'])
      await eventually(() => expect(typesTold(path, shop.id)).toEqual(failing), TIMEOUT_MS);
    const [exhausted, failed] = told(listener.path, shop.id).toSorted((a, b) => (a.type < b.type ? -1 : 1));
    const about = {
      merchant_id: merchantId,
      webhook_id: shop.id,
      url: receiver.url(shop.path),
      occurred_at: expect.any(String),
    };
    const last = { outcome: 'http_error', status_code: 503, error_code: null };
    expect(failed?.data).toEqual({ ...about, last_attempt: last });
    expect(exhausted?.data).toEqual({
      ...about,
      delivery_id: expect.stringMatching(/^dlv_/),
      event_id: expect.stringMatching(/^evt_/),
      event_type: 'payment.success',
      attempt_count: 2,
      last_attempt: last,
    });
    const [request] = receiver.requests.filter(({ path }) => path === listener.path);
    expect(request?.headers['webhook-signature']).toMatch(/^v1,/);

    receiver.on(shop.path, respond(200));
    await sendAndSettle(shop.id);
    for (const path of [listener.path, '/operator'])
      await eventually(
        () => expect(typesTold(path, shop.id)).toEqual([...failing, 'webhook.recovered']),
        TIMEOUT_MS,
      );

    const recovered = told(listener.path, shop.id).find(({ type }) => type === 'webhook.recovered');
    expect(recovered?.data).toEqual({
      ...about,
      failing_since: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });

    // At once again: the schedule that is spent is told, the failing is not.
    const before = await toldOf(shop.id);
    receiver.on(shop.path, respond(503));
    await sendAndSettle(shop.id);
    receiver.on(shop.path, respond(200));
    await sendAndSettle(shop.id);
    expect(await toldOf(shop.id)).toBe(before + 2);
    await database.$executeRaw`
      UPDATE endpoint_gates SET failing_told_at = now() - interval '16 minutes'
      WHERE endpoint_id = ${parseId('wh', shop.id)}::uuid`;
    receiver.on(shop.path, respond(503));
    await sendAndSettle(shop.id);
    await eventually(
      () =>
        expect(typesTold(listener.path, shop.id)).toEqual([
          ...Array<string>(3).fill('delivery.exhausted'),
          'webhook.failing',
          'webhook.failing',
          'webhook.recovered',
        ]),
      TIMEOUT_MS,
    );
    // `*` is everything of the merchant's own.
    expect(typesTold(everything.path, shop.id)).toEqual([]);
    expect(receiver.requests.filter(({ path }) => path === everything.path).length).toBe(5);
  },
  2 * TIMEOUT_MS,
);

test(
  'deliveries of operational events lead to none, whoever fails to take them',
  async () => {
    const shop = await webhook('shop', ['payment.*']);
    const listener = await webhook('listener', ['webhook.*', 'delivery.*']);
    const gone = await webhook('gone', ['webhook.*']);
    const operator = await operatorWebhook(`/${round}/operator`, ['*']);
    const operatorId = String(operator.body['id']);
    receiver.on(listener.path, respond(500));
    receiver.on(gone.path, respond(410));
    receiver.on(`/${round}/operator`, respond(500));
    receiver.on(shop.path, respond(500));
    await sendAndSettle(shop.id);
    for (const { id, status } of [
      { id: listener.id, status: 'failed' },
      { id: operatorId, status: 'failed' },
    ])
      await eventually(async () => {
        const { body } = await client.get<{ data: { status: string }[] }>(`/v1/webhooks/${id}/deliveries`);
        expect(body.data.map((delivery) => delivery.status)).toEqual([status, status]);
      }, TIMEOUT_MS);
    await eventually(
      async () =>
        expect((await client.get(`/v1/webhooks/${gone.id}`)).body).toMatchObject({
          status: 'disabled',
          disabled_reason: 'gone',
        }),
      TIMEOUT_MS,
    );
    expect(await toldOf(shop.id)).toBe(4);
    for (const id of [listener.id, gone.id, operatorId]) {
      expect(await toldOf(id)).toBe(0);
      const gate = await database.endpointGate.findUniqueOrThrow({
        where: { endpointId: parseId('wh', id) ?? '' },
      });
      expect(gate).toMatchObject({ failingSince: null, failingAttempts: 0, isFailingTold: false });
      expect(gate.consecutiveFailures).toBeGreaterThan(0);
    }
    await client.patch(`/v1/webhooks/${operatorId}`, { status: 'disabled' });
    expect(await toldOf(operatorId)).toBe(0);
  },
  2 * TIMEOUT_MS,
);

test(
  'one of which every attempt has failed for days is disabled, and told; enabled again it begins anew',
  async () => {
    const shop = await webhook('shop', ['payment.*']);
    const listener = await webhook('listener', ['webhook.disabled']);
    receiver.on(shop.path, respond(500));
    for (let sent = 0; sent < 6; sent += 1) await sendAndSettle(shop.id);
    const read = async () => (await client.get(`/v1/webhooks/${shop.id}`)).body;
    expect(await read()).toMatchObject({ status: 'enabled', health: { consecutive_failures: 12 } });
    await database.$executeRaw`
      UPDATE endpoint_gates SET failing_since = now() - interval '6 days'
      WHERE endpoint_id = ${parseId('wh', shop.id)}::uuid`;
    await eventually(
      async () => expect(await read()).toMatchObject({ status: 'disabled', disabled_reason: 'failing' }),
      TIMEOUT_MS,
    );
    for (const path of [listener.path, '/operator'])
      await eventually(() => {
        const [disabled] = told(path, shop.id).filter(({ type }) => type === 'webhook.disabled');
        expect(disabled?.data).toMatchObject({ webhook_id: shop.id, disabled_reason: 'failing' });
      }, TIMEOUT_MS);
    expect(await client.sendEvent(merchantId)).toMatchObject({ deliveries: 0 });

    await client.patch(`/v1/webhooks/${shop.id}`, { status: 'enabled' });
    await sendAndSettle(shop.id);
    expect(await read()).toMatchObject({ status: 'enabled', disabled_reason: null });
    const gate = await database.endpointGate.findUniqueOrThrow({
      where: { endpointId: parseId('wh', shop.id) ?? '' },
    });
    expect(gate.failingAttempts).toBe(2);
    expect(Date.now() - (gate.failingSince?.getTime() ?? 0)).toBeLessThan(3_600_000);
  },
  2 * TIMEOUT_MS,
);

test(
  'disabled by call and by 410, each is told once with its reason',
  async () => {
    const byCall = await webhook('by-call', ['payment.*']);
    const byAnswer = await webhook('by-answer', ['payment.*']);
    const listener = await webhook('listener', ['webhook.disabled', 'webhook.failing']);
    await client.patch(`/v1/webhooks/${byCall.id}`, { status: 'disabled' });
    await client.patch(`/v1/webhooks/${byCall.id}`, { status: 'disabled' });
    receiver.on(byAnswer.path, respond(410));
    await sendAndSettle(byAnswer.id);
    for (const [id, reason] of [
      [byCall.id, 'manual'],
      [byAnswer.id, 'gone'],
    ] as const) {
      await eventually(() => expect(typesTold(listener.path, id)).toEqual(['webhook.disabled']), TIMEOUT_MS);
      expect(told(listener.path, id)[0]?.data).toMatchObject({ disabled_reason: reason });
    }
    expect(await toldOf(byCall.id)).toBe(2);
    expect(await toldOf(byAnswer.id)).toBe(2);
  },
  2 * TIMEOUT_MS,
);

test('the operator is no merchant: nobody acts for it but a platform key that says null', async () => {
  const { body } = await client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'a key' });
  const merchantClient = client.withKey(String(body['key']));
  const endpoint = { url: receiver.url('/x'), events: ['*'] };
  expect((await merchantClient.post('/v1/webhooks', { ...endpoint, merchant_id: null })).status).toBe(404);
  expect((await client.post('/v1/webhooks', endpoint)).status).toBe(422);
  const nil = 'mrc_00000000000000000000000000';
  expect((await client.post('/v1/webhooks', { ...endpoint, merchant_id: nil })).status).toBe(404);
  expect((await client.get(`/v1/merchants/${nil}`)).status).toBe(404);
  expect((await client.patch(`/v1/merchants/${nil}`, { name: 'x' })).status).toBe(404);
  expect((await client.delete(`/v1/merchants/${nil}`)).status).toBe(404);
  expect((await client.post(`/v1/merchants/${nil}/api-keys`, { name: 'x' })).status).toBe(404);
  expect((await client.get(`/v1/webhooks?merchant_id=${nil}`)).status).toBe(404);
  const event = { merchant_id: nil, type: 'payment.success', data: {} };
  expect((await client.post('/v1/events', event)).status).toBe(404);
  const forged = { merchant_id: merchantId, type: 'webhook.disabled', data: {} };
  expect(await client.post('/v1/events', forged)).toMatchObject({
    status: 422,
    body: { data: { errors: [{ path: 'type' }] } },
  });
  const merchants = await client.get<{ data: { id: string }[] }>('/v1/merchants?limit=200');
  expect(merchants.body.data.map(({ id }) => id)).not.toContain(nil);
  const all = await client.get<{ data: { merchant_id: string | null }[] }>('/v1/webhooks?limit=200');
  expect(all.body.data.map((webhook) => webhook.merchant_id)).toContain(null);
  const own = await merchantClient.get<{ data: unknown[] }>('/v1/webhooks');
  expect(own.body.data).toEqual([]);
});
