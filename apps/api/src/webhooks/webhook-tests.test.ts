import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { after, hang, respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import type { AttemptView } from '../deliveries/delivery.schema.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import { TESTS_OF_MERCHANT_MAX } from './webhook-tester.js';

const SECRET = 'a-secret-of-the-merchants-own';

let db: TestDatabase;
let api: ApiUnderTest;
let receiver: Receiver;
let merchant: { readonly id: string; readonly key: string };

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  receiver = await startReceiver();
  merchant = await api.merchant();
  await api.call('PUT /v1/event-types/card.charged', {
    body: '{"example":{ "pan":"4111111111111111","amount":1.10 },"redact":["/pan"]}',
  });
}, 60_000);

afterAll(async () => {
  await api.close();
  await receiver.close();
  await db.drop();
});

async function webhook(path: string, fields: object = {}): Promise<string> {
  const body = { url: receiver.url(path), events: ['*'], secret: SECRET, ...fields };
  const { status, body: made } = await api.call<{ id: string }>('POST /v1/webhooks', {
    key: merchant.key,
    body,
  });
  expect(status).toBe(201);
  return made.id;
}

function send(id: string, body?: object, headers: Readonly<Record<string, string>> = {}) {
  const call = { key: merchant.key, headers, ...(body !== undefined && { body }) };
  return api.call<AttemptView & { readonly code?: string; readonly data?: unknown }>(
    `POST /v1/webhooks/${id}/test`,
    call,
  );
}

async function everything(): Promise<unknown> {
  const [counts] = await api.database.$queryRaw<unknown[]>`
    SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM deliveries) AS deliveries,
           (SELECT count(*) FROM open_deliveries) AS open, (SELECT count(*) FROM attempts) AS attempts,
           (SELECT count(*) FROM delivery_stats) AS stats, (SELECT count(*) FROM event_redactions) AS redactions`;
  return counts;
}

describe('a test call', () => {
  test('sends the example, signed, and shows what came of it', async () => {
    const id = await webhook('/example', {
      events: ['refund.*', 'card.charged'],
      headers: { 'X-Own': 'private' },
    });
    receiver.on('/example', respond(201, { body: 'thanks' }));
    const before = await everything();
    const answer = await send(id);
    expect(answer).toMatchObject({
      status: 200,
      body: {
        id: expect.stringMatching(/^att_/),
        number: 1,
        trigger: 'test',
        outcome: 'succeeded',
        status_code: 201,
        error_code: null,
        request: { method: 'POST', url: receiver.url('/example') },
        response: { body: 'thanks', body_truncated: false },
        remote_address: '127.0.0.1',
      },
    });
    const got = receiver.requests.find(({ path }) => path === '/example');
    const text = got?.body.toString() ?? '';
    expect(text).toMatch(
      /^\{"id":"evt_[0-9a-z]{26}","type":"card\.charged","created_at":"[^"]+","data":\{ "pan":"4111111111111111","amount":1\.10 \}\}$/,
    );
    expect(got?.headers['x-posthorn-signature']).toBe(
      `sha256=${createHmac('sha256', SECRET).update(text).digest('hex')}`,
    );
    expect(got?.headers).toMatchObject({ 'x-own': 'private', 'x-posthorn-event-type': 'card.charged' });
    expect(got?.headers['user-agent']).toBe('Posthorn/0.0.0-test');
    // As any attempt is shown: without secrets, and redacted.
    expect(answer.body.request.body).toBe(text.replace('4111111111111111', '[redacted]'));
    expect(answer.body.request.headers).toMatchObject({ 'X-Own': '***', 'X-Posthorn-Signature': '***' });
    expect(await everything()).toEqual(before);
  });

  test.each<[dialect: string, body: RegExp, signed: boolean]>([
    ['event-data', /^\{"event":"a\.b","data":\{"test":true\}\}$/, true],
    ['gateway', /^\{"event":"a\.b","timestamp":\d+,"a":\{"test":true\}\}$/, true],
    ['transaction-status', /^\{"type":"a\.b","timestamp":"[^"]+","test":true\}$/, false],
    ['fapshi', /^\{"test":true\}$/, false],
  ])('in the dialect %s', async (dialect, body, signed) => {
    const id = await webhook(`/${dialect}`, { dialect });
    expect(await send(id, { type: 'a.b' })).toMatchObject({ status: 200, body: { outcome: 'succeeded' } });
    const got = receiver.requests.find(({ path }) => path === `/${dialect}`);
    expect(got?.body.toString()).toMatch(body);
    expect(got?.headers['x-signature'] !== undefined).toBe(signed);
  });

  test.each<[events: string[], type: string]>([
    [['*'], 'posthorn.test'],
    [['refund.*'], 'posthorn.test'],
    [['*', 'b.c', 'a.b'], 'b.c'],
  ])('without a type, for the patterns %j, is %s', async (events, type) => {
    const id = await webhook('/types', { events });
    const { body } = await send(id);
    expect(body.request.headers['X-Posthorn-Event-Type']).toBe(type);
  });

  test('that fails is answered all the same, and counts for nothing', async () => {
    receiver.on('/fails', respond(410));
    const id = await webhook('/fails');
    const before = await everything();
    expect(await send(id)).toMatchObject({ status: 200, body: { outcome: 'http_error', status_code: 410 } });
    const refused = await webhook('/', { url: 'http://127.0.0.1:1/' });
    expect(await send(refused)).toMatchObject({
      status: 200,
      body: { outcome: 'connection_error', error_code: 'econnrefused', status_code: null, response: null },
    });
    for (const webhookId of [id, refused]) {
      expect(await api.call(`GET /v1/webhooks/${webhookId}`)).toMatchObject({
        body: {
          status: 'enabled',
          health: { state: 'idle', consecutive_failures: 0, last_failure_at: null },
        },
      });
    }
    expect(await everything()).toEqual(before);
  });

  test('ends with the timeout of the webhook', async () => {
    receiver.on('/hangs', hang());
    const id = await webhook('/hangs', { timeout_ms: 1_000 });
    const startedMs = performance.now();
    const { body } = await send(id);
    expect(body).toMatchObject({ outcome: 'timeout', error_code: 'deadline_exceeded' });
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(body.duration_ms).toBeGreaterThanOrEqual(950);
  });

  test('of a paused webhook is made, of a disabled one a conflict, of a deleted one 404', async () => {
    const id = await webhook('/status');
    const become = (status: string) => api.call(`PATCH /v1/webhooks/${id}`, { body: { status } });
    await become('paused');
    expect(await send(id)).toMatchObject({ status: 200, body: { outcome: 'succeeded' } });
    await become('disabled');
    expect(await send(id)).toMatchObject({ status: 409, body: { code: 'conflict' } });
    await api.call(`DELETE /v1/webhooks/${id}`);
    expect(await send(id)).toMatchObject({ status: 404 });
  });

  test.each<[name: string, body: object, fields: object]>([
    ['a pattern', { type: 'a.*' }, {}],
    ['an unknown field', { data: {} }, {}],
    ['an archived type', { type: 'gone.type' }, {}],
    ['a type that the format cannot carry', { type: 'event.x' }, { dialect: 'gateway' }],
    ['an example that the format cannot carry', { type: 'flat.type' }, { dialect: 'transaction-status' }],
  ])('with %s is 422, and nothing is sent', async (name, body, fields) => {
    await api.call('PUT /v1/event-types/gone.type', { body: {} });
    await api.call('DELETE /v1/event-types/gone.type');
    await api.call('PUT /v1/event-types/flat.type', { body: { example: { timestamp: 1 } } });
    const path = `/${encodeURIComponent(name)}`;
    expect(await send(await webhook(path, fields), body)).toMatchObject({
      status: 422,
      body: { code: 'invalid_request' },
    });
    expect(receiver.requests.some((request) => request.path === path)).toBe(false);
  });

  test('needs deliveries:retry, and a webhook of its own', async () => {
    const id = await webhook('/scope');
    const key = await api.call<{ key: string }>(`POST /v1/merchants/${merchant.id}/api-keys`, {
      body: { name: 'reads', scopes: ['webhooks:read', 'webhooks:write'] },
    });
    expect(await api.call(`POST /v1/webhooks/${id}/test`, { key: key.body.key })).toMatchObject({
      status: 403,
    });
    const other = await api.merchant();
    expect(await api.call(`POST /v1/webhooks/${id}/test`, { key: other.key })).toMatchObject({ status: 404 });
  });

  test('with an Idempotency-Key is sent once and answered twice', async () => {
    const id = await webhook('/once');
    const key = { 'idempotency-key': 'test-once' };
    const first = await send(id, { type: 'card.charged' }, key);
    const again = await send(id, { type: 'card.charged' }, key);
    expect(again).toMatchObject({ status: 200, body: first.body });
    expect(receiver.requests.filter(({ path }) => path === '/once')).toHaveLength(1);
    expect(await send(id, { type: 'a.b' }, key)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_conflict' },
    });
  });

  test('more at once than a merchant may have are told to come back; another merchant is not', async () => {
    receiver.on('/slow', after(1_500));
    const id = await webhook('/slow');
    const under = Array.from({ length: TESTS_OF_MERCHANT_MAX }, () => send(id));
    await eventually(() =>
      expect(receiver.requests.filter(({ path }) => path === '/slow')).toHaveLength(TESTS_OF_MERCHANT_MAX),
    );
    const refused = await send(id);
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } });
    expect(refused.headers['retry-after']).toBe('1');
    const other = await api.merchant();
    const theirs = await api.call<{ id: string }>('POST /v1/webhooks', {
      key: other.key,
      body: { url: receiver.url('/theirs'), events: ['*'] },
    });
    expect(await api.call(`POST /v1/webhooks/${theirs.body.id}/test`, { key: other.key })).toMatchObject({
      status: 200,
    });
    expect((await Promise.all(under)).map(({ status }) => status)).toEqual(under.map(() => 200));
    expect(await send(id)).toMatchObject({ status: 200 });
  });
});

test('while the process stops, whoever waits for a receiver is told so at once', async () => {
  receiver.on('/stops', hang());
  const stopping = await startApi({ databaseUrl: db.databaseUrl, platformKey: api.platformKey });
  const id = await webhook('/stops', { timeout_ms: 30_000 });
  const answer = stopping.call(`POST /v1/webhooks/${id}/test`);
  await eventually(() => expect(receiver.requests.some(({ path }) => path === '/stops')).toBe(true));
  const startedMs = performance.now();
  await stopping.close();
  expect(await answer).toMatchObject({ status: 503, body: { code: 'unavailable' } });
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});
