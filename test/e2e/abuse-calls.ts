import { row, type Row } from './bad-input-rows.js';

/** Calls that are used against what they are for: keys of repeated calls, paths, queries, encodings. */

const M = 'POST /v1/merchants';
const PK = 'POST /v1/api-keys';
const K = 'POST /v1/merchants/{merchant}/api-keys';
const W = 'POST /v1/webhooks';
const E = 'POST /v1/events';
const B = 'POST /v1/events/batch';
const RETRY = 'POST /v1/deliveries/{delivery}/retry';
const CANCEL = 'POST /v1/deliveries/{delivery}/cancel';

const EVENT = { merchant_id: '{merchant}', type: 'made.first', id: 'used-id', data: { a: 1 } };
const WEBHOOK = { merchant_id: '{merchant}', url: '{url}', events: ['*'] };
/** Used by the test for a merchant, for a webhook of `merchant`, and for an event of `merchant`. */
const key = (name: string): Readonly<Record<string, string>> => ({ 'idempotency-key': `used-for-${name}` });

const idempotency: readonly Row[] = [
  row(M, 'another body', 'idempotency_conflict', { headers: key('merchant'), body: { name: 'another' } }),
  row(M, 'the same body with a blank', 'idempotency_conflict', {
    headers: key('merchant'),
    body: '{"name": "of the key"}',
  }),
  row(`${M}?x=1`, 'another target', 'idempotency_conflict', {
    headers: key('merchant'),
    body: '{"name":"of the key"}',
  }),
  row(PK, 'another call', 'idempotency_conflict', { headers: key('merchant'), body: { name: 'of the key' } }),
  row(W, 'another body', 'idempotency_conflict', {
    headers: key('webhook'),
    body: { ...WEBHOOK, description: 'x' },
  }),
  row(W, 'another body with another key', 'idempotency_conflict', {
    by: 'merchant',
    headers: key('webhook'),
    body: { ...WEBHOOK, merchant_id: undefined, description: 'x' },
  }),
  row(K, 'another call', 'idempotency_conflict', { headers: key('webhook'), body: { name: 'a key' } }),
  ...[RETRY, CANCEL].map((call) =>
    row(call, 'another call', 'idempotency_conflict', { headers: key('webhook') }),
  ),
  row(E, 'the key of a webhook', 'idempotency_conflict', {
    headers: key('webhook'),
    body: { ...EVENT, id: undefined },
  }),
  row(E, 'another body', 'idempotency_conflict', {
    headers: key('event'),
    body: { ...EVENT, id: undefined, data: { a: 2 } },
  }),
  row(B, 'the key of a single event with others', 'idempotency_conflict', {
    headers: key('event'),
    body: { events: [{ ...EVENT, id: undefined, data: { a: 2 } }] },
  }),
  ...[
    { data: { a: 2 } },
    { data: { a: 1, b: 1 } },
    { type: 'made.second' },
    { created_at: '2026-01-01T00:00:00Z' },
    { ordering_key: 'x' },
    { deliver_at: '2026-01-01T00:00:00Z' },
  ].map((fields) =>
    row(E, `an id again with ${JSON.stringify(fields)}`, 'idempotency_conflict', {
      body: { ...EVENT, ...fields },
      paths: ['id'],
    }),
  ),
  row(E, 'an id again with a blank in its data', 'idempotency_conflict', {
    body: JSON.stringify(EVENT).replace('{"a":1}', '{"a": 1}'),
    paths: ['id'],
  }),
  row(B, 'an id again in a batch, which is refused whole', 'idempotency_conflict', {
    body: {
      events: [
        { ...EVENT, id: 'never-used' },
        { ...EVENT, data: { a: 2 } },
      ],
    },
    paths: ['events.1.id'],
  }),
  row(W, 'a key without the scope learns nothing of a key', 'forbidden', {
    by: 'reader',
    headers: key('webhook'),
    body: WEBHOOK,
  }),
];

const PATHS = [
  '/v1/webhooks/{webhook}%2fdeliveries',
  '/v1/webhooks/{webhook}/../{otherWebhook}',
  '/v1/webhooks/%2e/{webhook}',
  '/v1/webhooks/{webhook};/deliveries',
  '/v1/webhooks/{webhook}%3fmerchant_id',
  '/v1/webhooks/{webhook}%23',
  '/v1/webhooks/%252e%252e/merchants',
  '/v1/webhooks/..%5cmerchants',
  '/v1/webhooks/{webhook}%0d%0aX-Evil:1',
  '/v1/webhooks/{webhook}%09',
  '/v1/webhooks/{webhook}.json',
  '/v1/webhooks/{webhook}//deliveries',
  '/v1/webhooks//{webhook}',
  '/v1/webhooks/*',
  '/v1/webhooks/:id',
  '/v1/webhooks/{id}',
  '/v1/webhooks/%7bwebhook%7d',
  '/v1/webhooks/%00{webhook}',
  '/v1/webhooks/null',
  '/v1/webhooks/undefined',
  '/v1/webhooks/0',
  '/v1/webhooks/-1',
  "/v1/webhooks/'%20OR%201=1--",
  '/v1/webhooks/wh_%F0%9F%93%AF',
  '/v1/webhooks/__proto__',
  '/v1/webhooks/constructor',
  '/v1/deliveries/{delivery}%00',
  '/v1/deliveries/{delivery}/retry',
  '/v1/events/a%00b',
  '/v1/events/%ff',
  '/v1/events/__proto__',
  '/v1/events/..%2fmerchants',
  '/%2fv1/webhooks',
  '/v1/%77ebhook%73s',
  '/.git/config',
  '/console/../v1/webhooks',
  '/openapi.json/',
  '/docs/%2e%2e%2f%2e%2e%2fpackage.json',
  '/docs/swagger-ui.css%00.js',
  '/docs//swagger-ui.css',
  '/metrics/',
  '/healthz%00',
];
const paths: readonly Row[] = PATHS.map((path) => row(`GET ${path}`, 'no such thing', codeOf(path)));

/** A path that only takes POST says so. */
function codeOf(path: string): 'not_found' | 'method_not_allowed' {
  return path.endsWith('/retry') ? 'method_not_allowed' : 'not_found';
}

const LISTS = ['/v1/webhooks', '/v1/deliveries', '/v1/events', '/v1/webhooks/{webhook}/deliveries'];
const queries: readonly Row[] = LISTS.flatMap((list) => [
  ...['A', '%00', 'null', '{merchantsCursor}', '{deliveriesCursor}A', 'A'.repeat(43), 'A'.repeat(5_000)].map(
    (cursor) =>
      row(`GET ${list}?cursor=${cursor}`, 'a cursor', 'invalid_request', {
        by: 'merchant',
        paths: ['cursor'],
      }),
  ),
  row(`GET ${list}?cursor=a&cursor=b`, 'two cursors', 'invalid_request', { paths: ['cursor'] }),
  row(`GET ${list}?limit=1&limit=200`, 'two limits', 'invalid_request', { paths: ['limit'] }),
  row(`GET ${list}?limit[gt]=1`, 'an operator', 'invalid_request', { paths: ['limit[gt]'] }),
  row(`GET ${list}?offset=1`, 'an offset', 'invalid_request', { paths: ['offset'] }),
  row(`GET ${list}?order=asc&select=*`, 'order and columns', 'invalid_request', {
    paths: ['order', 'select'],
  }),
  row(`GET ${list}?merchant_id={otherMerchant}`, "another's", 'not_found', { by: 'merchant' }),
]);

const encodings: readonly Row[] = [
  ...['gzip', 'deflate', 'br', 'zstd', 'compress', 'x-gzip', 'gzip, identity', 'aes128gcm', '*', 'utf-8'].map(
    (encoding) =>
      row(M, `content-encoding ${encoding}`, 'unsupported_media_type', {
        body: '{"name":"compressed"}',
        headers: { 'content-encoding': encoding },
      }),
  ),
  row(M, 'a gzip body that does not say so', 'malformed_json', {
    body: Buffer.from('1f8b0800000000', 'hex'),
  }),
  ...[
    'application/json/x',
    'application/jsonx',
    'application/json;charset=utf-8;charset=utf-16',
    'application/json; charset="utf-7"',
    'application/json; boundary=x',
    'text/plain;application/json',
    'application/x-ndjson',
    'application/json-patch+json',
    'application/merge-patch+json',
    'application/vnd.api+json',
    '{"application":"json"}',
    'application/json\u00a0',
  ].map((type) =>
    row(M, `content type ${type}`, 'unsupported_media_type', {
      body: '{"name":"of another type"}',
      headers: { 'content-type': type },
    }),
  ),
  ...['x-http-method-override', 'x-http-method', 'x-method-override'].map((header) =>
    row('GET /v1/merchants/{merchant}/x', `${header}: DELETE`, 'not_found', {
      headers: { [header]: 'DELETE' },
    }),
  ),
  ...['x-original-url', 'x-rewrite-url', 'x-forwarded-prefix', 'x-forwarded-host'].map((header) =>
    row('GET /v1/nothing', header, 'not_found', { headers: { [header]: '/v1/merchants' } }),
  ),
  ...['x-merchant-id', 'x-forwarded-user', 'x-api-key', 'cookie', 'proxy-authorization'].map((header) =>
    row('GET /v1/webhooks', `${header} is no key`, 'unauthenticated', {
      by: 'nobody',
      headers: { [header]: '{platformKey}' },
    }),
  ),
  row('GET /v1/webhooks?access_token={platformKey}', 'a key in the query', 'unauthenticated', {
    by: 'nobody',
  }),
  row('GET /v1/webhooks?authorization=Bearer%20{platformKey}', 'a key in the query', 'unauthenticated', {
    by: 'nobody',
  }),
];

export const CALL_ABUSES: Readonly<Record<string, readonly Row[]>> = {
  'repeated calls with other content': idempotency,
  'tricks with paths': paths,
  'tricks with queries': queries,
  'encodings and headers': encodings,
};
