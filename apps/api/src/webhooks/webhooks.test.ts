import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { loadTargets } from '#adapters/postgres/endpoints-load.js';
import { openHeaders } from '#adapters/postgres/endpoints-record.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type ApiAnswer, type ApiCall, type ApiUnderTest, startApi } from '../api-harness.js';
import type { ErrorBody } from '../http/error-answer.js';
import { SECRET_BOX } from '../tokens.js';
import type { WebhookView } from './webhook.schema.js';

type NewWebhook = WebhookView & { readonly secret: string };

const URL = 'http://127.0.0.1:9/hook';
const UNKNOWN_MERCHANT = 'mrc_01h455vb4pex5vsknk084sn02q';

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let api: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  api = await startApi({ databaseUrl: testDatabase.databaseUrl });
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await api.close();
  await testDatabase.drop();
});

beforeEach(async () => {
  merchant = await api.merchant();
});

function post<Body = NewWebhook>(fields: object = {}, call: ApiCall = {}): Promise<ApiAnswer<Body>> {
  return api.call<Body>('POST /v1/webhooks', {
    key: merchant.key,
    body: { url: URL, events: ['payment.*'], ...fields },
    ...call,
  });
}

async function created(fields: object = {}): Promise<NewWebhook> {
  const { status, body } = await post(fields);
  expect({ status, body }).toMatchObject({ status: 201 });
  return body;
}

function patch<Body = WebhookView>(id: string, body: unknown): Promise<ApiAnswer<Body>> {
  return api.call<Body>(`PATCH /v1/webhooks/${id}`, { key: merchant.key, body });
}

async function sealedHeaders(id: string): Promise<readonly (readonly [string, string])[]> {
  const uuid = parseId(ID_PREFIXES.endpoint, id) ?? '';
  const target = (await loadTargets(api.database, [uuid])).get(uuid);
  return openHeaders(api.app.get<SecretBox>(SECRET_BOX), uuid, target?.headersSealed ?? null);
}

describe('POST', () => {
  test('answers the webhook with the defaults and a secret that is not shown again', async () => {
    const webhook = await created();
    expect(webhook).toEqual({
      id: expect.stringMatching(/^wh_/),
      merchant_id: merchant.id,
      url: URL,
      events: ['payment.*'],
      description: null,
      status: 'enabled',
      disabled_reason: null,
      dialect: 'posthorn',
      payload_format: 'envelope',
      signatures: [{ scheme: 'sha256-hex' }, { scheme: 'standard-webhooks' }],
      retry_schedule_seconds: [1, 4, 16],
      timeout_ms: 10_000,
      rate_limit_per_second: null,
      max_in_flight: 100,
      headers: {},
      client_certificate: null,
      filter: null,
      success_statuses: null,
      required_response: null,
      metadata: {},
      health: { state: 'idle', consecutive_failures: 0, last_success_at: null, last_failure_at: null },
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updated_at: webhook.created_at,
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    });
    const { secret: _secret, ...shown } = webhook;
    const read = await api.call(`GET /v1/webhooks/${webhook.id}`, { key: merchant.key });
    expect(read).toMatchObject({ status: 200, body: shown });
    expect(read.body).not.toHaveProperty('secret');
  });

  test('takes every field', async () => {
    const fields = {
      secret: 'a secret of sixteen or more',
      description: 'The shop’s main receiver',
      dialect: 'gateway',
      payload_format: 'raw',
      signatures: [{ scheme: 'timestamped', header: 'X-Shop-Signature' }, { scheme: 'standard-webhooks' }],
      retry_schedule_seconds: [0, 60, 604_800],
      timeout_ms: 1_000,
      rate_limit_per_second: 10_000,
      max_in_flight: 1_000,
      filter: [
        { pointer: '/currency', in: ['GHS', 'NGN', null] },
        { pointer: '/lines/0/a~1b', equals: 1.1 },
      ],
      success_statuses: [200, 302, 409],
      required_response: { success: true, code: 0, note: null },
      metadata: { shop: '7' },
    };
    const webhook = await created({ ...fields, headers: { Authorization: 'Bearer x', 'x-empty': '' } });
    expect(webhook).toMatchObject({ ...fields, headers: { Authorization: '***', 'x-empty': '***' } });
    await expect(sealedHeaders(webhook.id)).resolves.toEqual([
      ['Authorization', 'Bearer x'],
      ['x-empty', ''],
    ]);
  });

  test('keeps numbers as they came, and shows them so', async () => {
    const body =
      `{"url":"${URL}","events":["*"],"filter":[{"pointer":"/id","in":[9007199254740993,1.10,1e400]}],` +
      '"required_response":{"id":12345678901234567890,"__proto__":1}}';
    const { status, body: made } = await post({}, { body });
    expect(status).toBe(201);
    const read = await api.app.inject({
      method: 'GET',
      url: `/v1/webhooks/${made.id}`,
      headers: { authorization: `Bearer ${merchant.key}` },
    });
    expect(read.body).toContain('"filter":[{"pointer":"/id","in":[9007199254740993,1.1,1e400]}]');
    expect(read.body).toContain('"required_response":{"id":12345678901234567890,"__proto__":1}');
  });

  test.each<[string, unknown]>([
    ['standard', [1, 4, 16]],
    ['extended', [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000, 86_400, 86_400]],
  ])('takes the retry_preset %s', async (preset, schedule) => {
    await expect(created({ retry_preset: preset })).resolves.toMatchObject({
      retry_schedule_seconds: schedule,
    });
  });

  test('follows the dialect, its own or the merchant’s', async () => {
    await expect(created({ dialect: 'fapshi' })).resolves.toMatchObject({
      dialect: 'fapshi',
      payload_format: 'raw',
      signatures: [],
      retry_schedule_seconds: [],
    });
    const webhook = await created();
    await api.call(`PATCH /v1/merchants/${merchant.id}`, { body: { dialect: 'fiatsend' } });
    const read = await api.call(`GET /v1/webhooks/${webhook.id}`, { key: merchant.key });
    expect(read.body).toMatchObject({
      dialect: 'fiatsend',
      signatures: [{ scheme: 'sha256-hex', header: 'X-Fiatsend-Signature' }],
    });
  });

  const times = (n: number, value: unknown) => Array.from({ length: n }, () => value);
  const tooMany = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`X-${i}`, 'v']));
  test.each<[path: string, fields: object]>([
    ['url', { url: undefined }],
    ['url', { url: 7 }],
    ['url', { url: '\ud800' }],
    ['events', { events: [] }],
    ['events', { events: Array.from({ length: 101 }, () => 'a') }],
    ['events.1', { events: ['a', 'pay*'] }],
    ['events.0', { events: ['a..b'] }],
    ['secret', { secret: 'short' }],
    ['secret', { secret: 'whsec_not base64 at all' }],
    ['description', { description: 'x'.repeat(501) }],
    ['description', { description: 'a\0b' }],
    ['dialect', { dialect: 'svix' }],
    ['payload_format', { payload_format: 'xml' }],
    [
      'signatures',
      { signatures: Array.from({ length: 7 }, (_, i) => ({ scheme: 'hex', header: `X-${i}` })) },
    ],
    ['signatures.0.scheme', { signatures: [{ scheme: 'md5' }] }],
    ['signatures.0.header', { signatures: [{ scheme: 'hex', header: 'not a token' }] }],
    ['signatures.0.header', { signatures: [{ scheme: 'standard-webhooks', header: 'X-Other' }] }],
    ['signatures.0.key', { signatures: [{ scheme: 'hex', key: 'x' }] }],
    ['signatures.1.header', { signatures: [{ scheme: 'sha256-hex' }, { scheme: 'timestamped' }] }],
    ['signatures.0.header', { signatures: [{ scheme: 'hex', header: 'x-posthorn-EVENT-id' }] }],
    ['signatures.0.header', { signatures: [{ scheme: 'hex', header: 'Content-Length' }] }],
    ['signatures.0.header', { signatures: [{ scheme: 'hex', header: 'Webhook-Id' }] }],
    ['retry_schedule_seconds', { retry_schedule_seconds: Array.from({ length: 21 }, () => 1) }],
    ['retry_schedule_seconds.0', { retry_schedule_seconds: [-1] }],
    ['retry_schedule_seconds.0', { retry_schedule_seconds: [1.5] }],
    ['retry_schedule_seconds.0', { retry_schedule_seconds: [604_801] }],
    ['retry_preset', { retry_preset: 'forever' }],
    ['retry_preset', { retry_preset: 'standard', retry_schedule_seconds: [1] }],
    ['timeout_ms', { timeout_ms: 999 }],
    ['timeout_ms', { timeout_ms: 30_001 }],
    ['timeout_ms', { timeout_ms: '5000' }],
    ['rate_limit_per_second', { rate_limit_per_second: 0 }],
    ['rate_limit_per_second', { rate_limit_per_second: 10_001 }],
    ['rate_limit_per_second', { rate_limit_per_second: 0.5 }],
    ['max_in_flight', { max_in_flight: 0 }],
    ['max_in_flight', { max_in_flight: 1_001 }],
    ['max_in_flight', { max_in_flight: null }],
    ['headers', { headers: [] }],
    ['headers', { headers: { 'X-A': 1 } }],
    ['headers', { headers: tooMany(21) }],
    ['headers', { headers: { 'X-A': 'a'.repeat(6_200) } }],
    ['headers', { headers: { 'X-A': '***' } }],
    ['headers.not a token', { headers: { 'not a token': 'a' } }],
    ['headers.X-A', { headers: { 'X-A': 'a\r\nHost: b' } }],
    ['headers.X-A', { headers: { 'X-A': 'a\0' } }],
    ['headers.X-A', { headers: { 'X-A': 'ł' } }],
    ['headers.x-a', { headers: { 'X-A': 'a', 'x-a': 'b' } }],
    ['headers.HOST', { headers: { HOST: 'a' } }],
    ['headers.Content-Type', { headers: { 'Content-Type': 'text/plain' } }],
    ['headers.Transfer-Encoding', { headers: { 'Transfer-Encoding': 'chunked' } }],
    ['headers.Webhook-Signature', { headers: { 'Webhook-Signature': 'a' } }],
    ['headers.x-posthorn-anything', { headers: { 'x-posthorn-anything': 'a' } }],
    ['headers.x-signature', { headers: { 'x-signature': 'a' } }],
    ['headers.X-Mine', { headers: { 'X-Mine': 'a' }, signatures: [{ scheme: 'hex', header: 'x-mine' }] }],
    ['metadata', { metadata: [] }],
    ['metadata.a', { metadata: { a: 1 } }],
    ['filter', { filter: {} }],
    ['filter', { filter: times(11, { pointer: '/a', equals: 1 }) }],
    ['filter.0.pointer', { filter: [{ equals: 1 }] }],
    ['filter.0.pointer', { filter: [{ pointer: '', equals: 1 }] }],
    ['filter.0.pointer', { filter: [{ pointer: 'currency', equals: 1 }] }],
    ['filter.0.pointer', { filter: [{ pointer: '/a~2', equals: 1 }] }],
    ['filter.0.pointer', { filter: [{ pointer: '/a\0', equals: 1 }] }],
    ['filter.0.pointer', { filter: [{ pointer: `/${'a'.repeat(256)}`, equals: 1 }] }],
    ['filter.0', { filter: [{ pointer: '/a' }] }],
    ['filter.0', { filter: [{ pointer: '/a', equals: 1, in: [1] }] }],
    ['filter.0', { filter: ['/a'] }],
    [
      'filter.1.nothing',
      {
        filter: [
          { pointer: '/a', equals: 1 },
          { pointer: '/a', equals: 1, nothing: 1 },
        ],
      },
    ],
    ['filter.0.equals', { filter: [{ pointer: '/a', equals: {} }] }],
    ['filter.0.equals', { filter: [{ pointer: '/a', equals: [1] }] }],
    ['filter.0.equals', { filter: [{ pointer: '/a', equals: 'x'.repeat(257) }] }],
    ['filter.0.in', { filter: [{ pointer: '/a', in: [] }] }],
    ['filter.0.in', { filter: [{ pointer: '/a', in: 1 }] }],
    ['filter.0.in', { filter: [{ pointer: '/a', in: times(51, 1) }] }],
    ['filter.0.in.1', { filter: [{ pointer: '/a', in: [1, {}] }] }],
    ['success_statuses', { success_statuses: [] }],
    ['success_statuses', { success_statuses: 200 }],
    ['success_statuses', { success_statuses: [200, 200] }],
    ['success_statuses', { success_statuses: Array.from({ length: 21 }, (_, n) => 200 + n) }],
    ['success_statuses.0', { success_statuses: [199] }],
    ['success_statuses.1', { success_statuses: [200, 410] }],
    ['success_statuses.0', { success_statuses: [600] }],
    ['success_statuses.0', { success_statuses: ['200'] }],
    ['required_response', { required_response: {} }],
    ['required_response', { required_response: [] }],
    ['required_response', { required_response: true }],
    ['required_response', { required_response: tooMany(11) }],
    ['required_response.a', { required_response: { a: {} } }],
    ['required_response.a', { required_response: { a: 'x'.repeat(257) } }],
    [`required_response.${'a'.repeat(129)}`, { required_response: { ['a'.repeat(129)]: 1 } }],
    ['secret', { secret: 'a secret of the shop', signatures: [{ scheme: 'standard-webhooks-ed25519' }] }],
    ['signatures.0.header', { signatures: [{ scheme: 'standard-webhooks-ed25519', header: 'X-Other' }] }],
    [
      'signatures.1.header',
      { signatures: [{ scheme: 'standard-webhooks-ed25519' }, { scheme: 'standard-webhooks-ed25519' }] },
    ],
    ['ordered', { ordered: true }],
    ['status', { status: 'enabled' }],
  ])('refuses a bad %s', async (path, fields) => {
    const { status, body } = await post<ErrorBody>(fields);
    expect({ status, code: body.code }).toEqual({ status: 422, code: 'invalid_request' });
    const { errors } = body.data as { errors: { path: string }[] };
    expect(errors.map((error) => error.path)).toContain(path);
  });

  test.each([
    ['a scheme', 'ftp://example.com'],
    ['credentials', 'https://user:secret@example.com'],
    ['a private address', 'http://10.0.0.1/'],
    ['an address in disguise', 'http://0x0a000001/'],
    ['no host at all', 'shop.example/hook'],
    ['too many characters', `https://example.com/${'a'.repeat(2_048)}`],
  ])('does not take a url with %s', async (_, url) => {
    const { status, body } = await post<ErrorBody>({ url });
    expect({ status, code: body.code }).toEqual({ status: 422, code: 'url_not_allowed' });
    expect(body.data).toEqual({ errors: [{ path: 'url', message: expect.any(String) }] });
  });

  test('with a platform key needs a merchant that is there', async () => {
    const platform = { key: api.platformKey };
    const withMerchant = (id: string) => ({
      ...platform,
      body: { merchant_id: id, url: URL, events: ['*'] },
    });
    await expect(post({}, withMerchant(merchant.id))).resolves.toMatchObject({
      status: 201,
      body: { merchant_id: merchant.id },
    });
    const without = await post<ErrorBody>({}, { ...platform, body: { url: URL, events: ['*'] } });
    expect(without).toMatchObject({ status: 422, body: { data: { errors: [{ path: 'merchant_id' }] } } });
    await expect(post({}, withMerchant(UNKNOWN_MERCHANT))).resolves.toMatchObject({ status: 404 });
    await expect(post({}, withMerchant('nonsense'))).resolves.toMatchObject({ status: 404 });
    await api.call(`DELETE /v1/merchants/${merchant.id}`);
    await expect(post({}, withMerchant(merchant.id))).resolves.toMatchObject({ status: 404 });
  });

  test('with another merchant’s id is not found', async () => {
    const other = await api.merchant();
    await expect(post({ merchant_id: other.id })).resolves.toMatchObject({ status: 404 });
    await expect(post({ merchant_id: merchant.id })).resolves.toMatchObject({ status: 201 });
  });

  test('with an Idempotency-Key makes one, and answers the same secret again', async () => {
    const call = { headers: { 'idempotency-key': 'once' } };
    const first = await post({}, call);
    await expect(post({}, call)).resolves.toMatchObject({ status: 201, body: first.body });
    await expect(post({ events: ['*'] }, call)).resolves.toMatchObject({
      status: 409,
      body: { code: 'idempotency_conflict' },
    });
    const list = await api.call<{ data: unknown[] }>('GET /v1/webhooks', { key: merchant.key });
    expect(list.body.data).toHaveLength(1);
  });

  test('stops at 200 a merchant', async () => {
    await api.database.$executeRaw`
      INSERT INTO endpoints (id, merchant_id, url, events)
      SELECT lpad(n::text, 32, '0')::uuid, ${parseId('mrc', merchant.id)}::uuid, 'https://shop.example', ARRAY['*']
      FROM generate_series(1, 199) AS n`;
    await created();
    await expect(post()).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
  });
});

describe('PATCH', () => {
  test('of nothing changes nothing', async () => {
    const { secret: _secret, ...webhook } = await created();
    await expect(patch(webhook.id, {})).resolves.toMatchObject({ status: 200, body: webhook });
    await expect(patch(webhook.id, undefined)).resolves.toMatchObject({ status: 200, body: webhook });
  });

  test('changes what it names, and null gives an override back', async () => {
    const { id } = await created({ description: 'old', dialect: 'fapshi', retry_schedule_seconds: [9] });
    const changes = { url: 'http://127.0.0.1:10/', events: ['*'], timeout_ms: 2_000, metadata: { a: 'b' } };
    await expect(patch(id, changes)).resolves.toMatchObject({
      status: 200,
      body: { ...changes, description: 'old', retry_schedule_seconds: [9] },
    });
    const reset = { description: null, dialect: null, retry_schedule_seconds: null };
    await expect(patch(id, reset)).resolves.toMatchObject({
      body: { ...changes, description: null, dialect: 'posthorn', retry_schedule_seconds: [1, 4, 16] },
    });
    await patch(id, { payload_format: 'flat', signatures: [] });
    await expect(patch(id, { retry_preset: 'extended' })).resolves.toMatchObject({
      body: {
        payload_format: 'flat',
        signatures: [],
        retry_schedule_seconds: expect.arrayContaining([86_400]),
      },
    });
    await expect(patch(id, { payload_format: null, signatures: null })).resolves.toMatchObject({
      body: {
        payload_format: 'envelope',
        signatures: [{ scheme: 'sha256-hex' }, { scheme: 'standard-webhooks' }],
      },
    });
  });

  test('changes what it asks of data and answers, and null takes it away', async () => {
    const { id } = await created();
    const asked = {
      filter: [{ pointer: '/currency', equals: 'GHS' }],
      success_statuses: [202],
      required_response: { success: true },
    };
    await expect(patch(id, asked)).resolves.toMatchObject({ status: 200, body: asked });
    await expect(patch(id, { description: 'x' })).resolves.toMatchObject({ body: asked });
    const none = { filter: null, success_statuses: null, required_response: null };
    await expect(patch(id, none)).resolves.toMatchObject({ status: 200, body: none });
  });

  test('refuses a number of more digits than are compared, with its path', async () => {
    const { id } = await created();
    const digits = '1'.repeat(65);
    const answer = await patch<ErrorBody>(
      id,
      `{"filter":[{"pointer":"/a","in":[1,${digits}]}],"required_response":{"a":1e9999999999999999}}`,
    );
    expect(answer).toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'filter.0.in.1' }, { path: 'required_response.a' }] } },
    });
  });

  test('disables and enables', async () => {
    const { id } = await created();
    await expect(patch(id, { status: 'disabled' })).resolves.toMatchObject({
      body: { status: 'disabled', disabled_reason: 'manual' },
    });
    await expect(patch(id, { status: 'enabled' })).resolves.toMatchObject({
      body: { status: 'enabled', disabled_reason: null },
    });
  });

  test('pauses and resumes, from whatever it was, as often as one likes', async () => {
    const { id } = await created();
    const statuses = ['paused', 'paused', 'enabled', 'enabled', 'disabled', 'paused', 'disabled', 'enabled'];
    for (const status of statuses) {
      await expect(patch(id, { status })).resolves.toMatchObject({
        status: 200,
        body: { status, disabled_reason: status === 'disabled' ? 'manual' : null },
      });
      const read = await api.call(`GET /v1/webhooks/${id}`, { key: merchant.key });
      expect(read.body).toMatchObject({ status });
    }
  });

  test('a paused webhook goes on getting deliveries; deleting it works', async () => {
    const { id } = await created();
    await patch(id, { status: 'paused' });
    const event = { merchant_id: merchant.id, type: 'payment.success', data: {} };
    await expect(api.call('POST /v1/events', { body: event })).resolves.toMatchObject({
      status: 202,
      body: { deliveries: 1 },
    });
    const deleted = await api.call(`DELETE /v1/webhooks/${id}`, { key: merchant.key });
    expect(deleted.status).toBe(204);
    await expect(api.call('POST /v1/events', { body: event })).resolves.toMatchObject({
      body: { deliveries: 0 },
    });
  });

  test('changes the limits, and null takes the rate’s away', async () => {
    const { id } = await created({ rate_limit_per_second: 5 });
    await expect(patch(id, { rate_limit_per_second: null, max_in_flight: 1 })).resolves.toMatchObject({
      body: { rate_limit_per_second: null, max_in_flight: 1 },
    });
  });

  test('replaces headers and keeps the values of those that are hidden', async () => {
    const { id } = await created({ headers: { 'X-Keep': 'kept', 'X-Drop': 'dropped' } });
    const changed = await patch(id, { headers: { 'x-keep': '***', 'X-New': 'new' } });
    expect(changed).toMatchObject({ status: 200, body: { headers: { 'x-keep': '***', 'X-New': '***' } } });
    await expect(sealedHeaders(id)).resolves.toEqual([
      ['x-keep', 'kept'],
      ['X-New', 'new'],
    ]);
    await expect(patch(id, { headers: { 'X-Drop': '***' } })).resolves.toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'headers.X-Drop' }] } },
    });
    await patch(id, { headers: {} });
    await expect(sealedHeaders(id)).resolves.toEqual([]);
  });

  test('refuses signatures that the secret or the headers are in the way of', async () => {
    const { id } = await created({
      dialect: 'gateway',
      secret: 'whsec_not base64',
      headers: { 'X-Mine': 'a' },
    });
    await expect(patch(id, { dialect: null })).resolves.toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'signatures' }] } },
    });
    await expect(patch(id, { signatures: [{ scheme: 'hex', header: 'x-mine' }] })).resolves.toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'headers.X-Mine' }] } },
    });
    await expect(patch(id, { description: 'fine' })).resolves.toMatchObject({ status: 200 });
  });

  test.each<[string, object]>([
    ['merchant_id', { merchant_id: UNKNOWN_MERCHANT }],
    ['secret', { secret: 'another secret of the shop' }],
    ['status', { status: 'held' }],
    ['rate_limit_per_second', { rate_limit_per_second: -1 }],
    ['max_in_flight', { max_in_flight: null }],
    ['timeout_ms', { timeout_ms: null }],
    ['url', { url: null }],
    ['retry_preset', { retry_preset: 'standard', retry_schedule_seconds: null }],
    ['id', { id: 'wh_1' }],
  ])('refuses %s', async (path, body) => {
    const { id } = await created();
    const answer = await patch<ErrorBody>(id, body);
    expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_request' } });
    const { errors } = answer.body.data as { errors: { path: string }[] };
    expect(errors.map((error) => error.path)).toContain(path);
  });

  test('judges a new url', async () => {
    const { id } = await created();
    const answer = await patch<ErrorBody>(id, { url: 'http://10.0.0.1/' });
    expect(answer).toMatchObject({ status: 422, body: { code: 'url_not_allowed' } });
  });
});

test('DELETE takes it away, and a second one finds nothing', async () => {
  const { id } = await created();
  const call = { key: merchant.key };
  await expect(api.call(`DELETE /v1/webhooks/${id}`, call)).resolves.toMatchObject({ status: 204, body: '' });
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    await expect(api.call(`${method} /v1/webhooks/${id}`, call)).resolves.toMatchObject({ status: 404 });
  }
});

test('lists are by pages, of the key’s merchant, or of the one that a platform key names, or of all', async () => {
  const ids = [(await created()).id, (await created()).id, (await created()).id].reverse();
  interface Page {
    data: { id: string }[];
    next_cursor: string | null;
  }
  const page = async (target: string, key: string) =>
    (await api.call<Page>(`GET /v1/webhooks${target}`, { key })).body;
  const first = await page('?limit=2', merchant.key);
  const second = await page(`?limit=2&cursor=${first.next_cursor}`, merchant.key);
  expect([...first.data, ...second.data].map(({ id }) => id)).toEqual(ids);
  expect(second.next_cursor).toBeNull();

  const { id: otherMerchant, key: otherKey } = await api.merchant();
  await expect(page('', otherKey)).resolves.toEqual({ data: [], next_cursor: null });
  const named = await page(`?merchant_id=${merchant.id}`, api.platformKey);
  expect(named.data.map(({ id }) => id)).toEqual(ids);
  const all = await page('?limit=3', api.platformKey);
  expect(all.data.map(({ id }) => id)).toEqual(ids);
  const foreign = await api.call(`GET /v1/webhooks?merchant_id=${otherMerchant}`, { key: merchant.key });
  expect(foreign.status).toBe(404);
  const unknown = await api.call('GET /v1/webhooks?status=enabled', { key: merchant.key });
  expect(unknown.status).toBe(422);
});

test('another merchant’s webhook is not there', async () => {
  const { id } = await created();
  const other = await api.merchant();
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    await expect(api.call(`${method} /v1/webhooks/${id}`, { key: other.key })).resolves.toMatchObject({
      status: 404,
    });
  }
  await expect(api.call(`GET /v1/webhooks/${id}`)).resolves.toMatchObject({ status: 200 });
});

test.each<[string, (now: Date) => object]>([
  ['slow', () => ({ lane: 'slow' })],
  ['suspended', (now) => ({ breakerState: 'open', breakerChangedAt: now, consecutiveFailures: 500 })],
  ['recovering', (now) => ({ breakerState: 'draining', breakerChangedAt: now, lastSuccessAt: now })],
  ['healthy', (now) => ({ breakerState: 'draining', breakerChangedAt: new Date(0), lastSuccessAt: now })],
])('health is %s where the gate says so, in one and in the list', async (state, dataAt) => {
  const { id } = await created();
  const data = dataAt(new Date());
  await api.database.endpointGate.update({ where: { endpointId: parseId('wh', id) ?? '' }, data });
  const { body } = await api.call<WebhookView>(`GET /v1/webhooks/${id}`, { key: merchant.key });
  expect(body.health.state).toBe(state);
  const list = await api.call<{ data: WebhookView[] }>('GET /v1/webhooks', { key: merchant.key });
  expect(list.body.data.map(({ health }) => health)).toEqual([body.health]);
});

test('health is what the attempts made of it', async () => {
  const { id } = await created();
  await api.database.endpointGate.update({
    where: { endpointId: parseId('wh', id) ?? '' },
    data: { consecutiveFailures: 3, lastFailureAt: new Date('2026-01-02T03:04:05.678Z') },
  });
  const { body } = await api.call<WebhookView>(`GET /v1/webhooks/${id}`, { key: merchant.key });
  expect(body.health).toEqual({
    state: 'failing',
    consecutive_failures: 3,
    last_success_at: null,
    last_failure_at: '2026-01-02T03:04:05.678Z',
  });
});
