import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

/**
 * A value is planted in an event's data. Every GET that the OpenAPI document knows is asked for, and none of the answers
 * may have it: a new route is covered by being documented. What a receiver repeats of it is not looked at: its answers
 * are shown as they came.
 */
const PAN = '4111111111111111';
const DATA = `{"card":{"pan":"${PAN}","number":${PAN}, "brand":"visa"},"list":[1,{"pan":"${PAN}"}],"card":{"pan":"x${PAN}"},"amount":1.10}`;
const MASKED =
  '{"card":{"pan":"[redacted]","number":"[redacted]", "brand":"visa"},"list":[1,{"pan":"[redacted]"}],"card":{"pan":"[redacted]"},"amount":1.10}';
const TYPE = 'card.charged';
const DIALECTS = ['posthorn', 'gateway', 'event-data', 'transaction-status', 'fapshi'];

let installation: Installation;
let receiver: Receiver;
let database: Database;
let ids: Readonly<Record<string, string>>;

beforeAll(async () => {
  installation = await startInstallation({
    queue: 'postgres',
    environment: { LOG_LEVEL: 'debug' },
  });
  receiver = await startReceiver();
  database = connectDatabase(installation.database.databaseUrl, 1);
  const { client } = installation;
  await client.call('PUT', `/v1/event-types/${TYPE}`, {
    bytes: JSON.stringify({
      redact: ['/card/pan', '/card/number', '/list/1/pan'],
      schema: { properties: { amount: { type: 'number' } } },
    }),
  });
  const merchantId = await client.newMerchant();
  const key = await client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'test' });
  const platformKey = await client.post('/v1/api-keys', { name: 'test', scopes: ['events:write'] });
  const webhooks: string[] = [];
  for (const dialect of DIALECTS) {
    webhooks.push((await client.newWebhook(merchantId, receiver.url(`/${dialect}`), { dialect })).id);
  }
  const held = await client.newWebhook(merchantId, receiver.url('/held'));
  await client.patch(`/v1/webhooks/${held.id}`, { status: 'paused' });
  const sent = await client.call('POST', '/v1/events', {
    bytes: `{"merchant_id":"${merchantId}","type":"${TYPE}","id":"charge-1","data":${DATA}}`,
  });
  expect(sent).toMatchObject({ status: 202, body: { deliveries: DIALECTS.length + 1 } });
  const recovery = await client.post(`/v1/webhooks/${held.id}/recoveries`, {
    since: new Date(Date.now() - 60_000).toISOString(),
  });
  expect(recovery.status).toBe(202);
  ids = {
    '/v1/merchants/{id}': merchantId,
    '/v1/api-keys/{id}': String(platformKey.body['id']),
    '/v1/webhooks/{id}': webhooks[0] ?? '',
    '/v1/events/{id}': 'charge-1',
    '/v1/event-types/{name}': TYPE,
    '/v1/recoveries/{id}': String(recovery.body['id']),
    '{key_id}': String(key.body['id']),
    held: held.id,
  };
}, 60_000);

afterAll(async () => {
  await database.$disconnect();
  await installation.close();
  await receiver.close();
}, 30_000);

async function deliveryIds(): Promise<string[]> {
  const { body } = await installation.client.get<{ data: { id: string }[] }>(
    '/v1/deliveries?event_id=charge-1',
  );
  return body.data.map(({ id }) => id);
}

/** Every address that a documented GET has, with the ids of what this file has made. */
async function everyGet(): Promise<string[]> {
  const { body } = await installation.client.get<{ paths: Record<string, Record<string, unknown>> }>(
    '/openapi.json',
  );
  const deliveries = await deliveryIds();
  return Object.entries(body.paths)
    .filter(([, item]) => 'get' in item)
    .flatMap(([path]) => {
      const paths = path.startsWith('/v1/deliveries/{id}')
        ? deliveries.map((id) => path.replace('{id}', id))
        : [Object.entries(ids).reduce((filled, [part, id]) => fill(filled, part, id), path)];
      // Whoever adds a GET with another id says here which one, so that it is looked at as well.
      for (const filled of paths) expect(filled).not.toContain('{');
      return paths;
    });
}

function fill(path: string, part: string, id: string): string {
  const filled = part.replace(/\{\w+\}$/, id);
  return path.replace(part, () => filled);
}

async function expectHidden(): Promise<void> {
  const shown: string[] = [];
  for (const path of await everyGet()) {
    const { status, text } = await installation.client.get(path);
    // Some of what is documented may refuse to answer for these things; what it says must not tell either.
    expect({ path, status, tells: text.includes(PAN) }).toEqual({ path, status, tells: false });
    if (text.includes('[redacted]')) shown.push(path.replace(/[a-z]+_[0-9a-z]{26}/, '{id}'));
  }
  const expected = [
    '/v1/events',
    '/v1/events/charge-1',
    ...(await deliveryIds()).map(() => '/v1/deliveries/{id}'),
  ];
  expect(shown.sort()).toEqual(expected.sort());
}

test('from the start, no answer has what is redacted, while receivers get it', async () => {
  await eventually(() => expect(receiver.requests).toHaveLength(DIALECTS.length));
  await eventually(async () => {
    const { body } = await installation.client.get<{ data: unknown[] }>(
      '/v1/deliveries?event_id=charge-1&status=succeeded',
    );
    expect(body.data).toHaveLength(DIALECTS.length);
  });
  for (const { path, body } of receiver.requests) {
    const inner = path === '/transaction-status' ? DATA.slice(1) : DATA;
    expect(body.toString()).toContain(inner);
  }
  await expectHidden();
  const { text } = await installation.client.get('/v1/events/charge-1');
  expect(text).toContain(`"data":${MASKED}}`);
});

test('the body of an attempt is shown as it was sent, but for what is redacted, in every format', async () => {
  for (const id of await deliveryIds()) {
    const { body, text } = await installation.client.get(`/v1/deliveries/${id}`);
    expect(text).toContain(`"data":${MASKED}}`);
    for (const { request } of body['attempts'] as { request: { url: string; body: string } }[]) {
      const path = new URL(request.url).pathname;
      const sent = receiver.requests.find((received) => received.path === path)?.body.toString() ?? '';
      const data = path === '/transaction-status' ? DATA.slice(1) : DATA;
      const masked = path === '/transaction-status' ? MASKED.slice(1) : MASKED;
      expect(request.body).toBe(sent.replace(data, masked));
    }
  }
});

test('neither a refusal nor the answer of a test or a retry has it', async () => {
  const { client } = installation;
  const refused = await client.call('POST', '/v1/events', {
    bytes: `{"merchant_id":"${ids['/v1/merchants/{id}']}","type":"${TYPE}","data":{"amount":"${PAN}","card":{"pan":"${PAN}"}}}`,
  });
  expect(refused).toMatchObject({ status: 422, body: { code: 'schema_mismatch' } });
  const [deliveryId] = await deliveryIds();
  const tested = await client.post(`/v1/webhooks/${ids['/v1/webhooks/{id}']}/test`, { type: TYPE });
  const retried = await client.post(`/v1/deliveries/${deliveryId}/retry`);
  for (const { text } of [refused, tested, retried]) expect(text).not.toContain(PAN);
});

test('once its deliveries are done, it is gone from what is stored, and a retry is payload_redacted', async () => {
  const { client } = installation;
  const holdsIt = async (): Promise<boolean> => {
    const rows = await database.$queryRaw<{ data: Uint8Array }[]>`SELECT data FROM events`;
    return rows.some(({ data }) => Buffer.from(data).includes(PAN));
  };
  expect(await holdsIt()).toBe(true);
  expect((await client.delete(`/v1/webhooks/${ids['held']}`)).status).toBe(204);
  await eventually(async () => expect(await holdsIt()).toBe(false), 30_000);
  const codes: unknown[] = [];
  for (const id of await deliveryIds()) {
    const { status, body } = await client.post(`/v1/deliveries/${id}/retry`);
    expect(status).toBe(409);
    codes.push(body['code']);
  }
  // One of them went to the webhook that is gone.
  expect(codes.sort()).toEqual(['conflict', ...DIALECTS.map(() => 'payload_redacted')]);
  await expectHidden();
});

test('no log line has it', () => {
  for (const { lines } of [...installation.apis, ...installation.workers]) {
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.filter((line) => line.includes(PAN))).toEqual([]);
  }
});
