import { type CallName, refused, row, type Row, spliced } from './bad-input-rows.js';

/** Texts, numbers and structures that are JSON and still not what anybody means. */

const M = 'POST /v1/merchants';
const MP = 'PATCH /v1/merchants/{merchant}';
const K = 'POST /v1/merchants/{merchant}/api-keys';
const PK = 'POST /v1/api-keys';
const W = 'POST /v1/webhooks';
const WP = 'PATCH /v1/webhooks/{webhook}';
const E = 'POST /v1/events';
const B = 'POST /v1/events/batch';
const CANCEL = 'POST /v1/deliveries/{delivery}/cancel';

const LONG = 'x'.repeat(100_000);
const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const keys = (count: number): string =>
  Array.from({ length: count }, (_, index) => `"k${index}":1`).join(',');

/** A member spliced into the call's good body as text, so that it need not be what JSON.stringify writes. */
function splicing(call: CallName, member: string, name: string, paths?: readonly string[]): Row {
  return row(call, name, 'invalid_request', {
    body: spliced(call, member),
    ...(paths !== undefined && { paths }),
  });
}

const TEXT_FIELDS: readonly (readonly [call: CallName, field: string])[] = [
  [M, 'external_id'],
  [MP, 'name'],
  [MP, 'external_id'],
  [K, 'name'],
  [PK, 'name'],
  [W, 'description'],
  [W, 'secret'],
  [WP, 'description'],
  [E, 'ordering_key'],
  [E, 'id'],
  [E, 'created_at'],
  [E, 'deliver_at'],
];
const unfitTexts: readonly Row[] = TEXT_FIELDS.flatMap(([call, field]) =>
  ['a long text\0', '\0a long text', 'a long \ud800 text', 'a long text \udfff', LONG].map((text) =>
    refused(call, { [field]: text }, field.endsWith('_at') ? undefined : [field]),
  ),
).concat(
  ['\0', '\ud800', 'x'.repeat(501), LONG].flatMap((value) => [
    refused(M, { metadata: { a: value } }, ['metadata.a']),
    refused(WP, { metadata: { a: value } }, ['metadata.a']),
  ]),
  ['\0', '\udc00', 'x'.repeat(41)].map((name) =>
    refused(M, { metadata: { [name]: 'x' } }, [`metadata.${name}`]),
  ),
  [LONG, `${LONG}\r\nX-Evil: 1`, 'a\u2028b', 'a\u0100b'].map((value) =>
    refused(WP, { headers: { 'X-Own': value } }, value === LONG ? ['headers'] : undefined),
  ),
  ['\ud800', `https://shop.example/${LONG}`, 'https://shop.example/\0'].map((url) =>
    row(
      W,
      `url ${JSON.stringify(url.slice(0, 40))}`,
      url === '\ud800' ? 'invalid_request' : 'url_not_allowed',
      {
        body: { merchant_id: '{merchant}', url, events: ['*'] },
        paths: ['url'],
      },
    ),
  ),
);

const LOOKALIKES = [
  'payment\uff0esuccess',
  'payment\u2024success',
  'p\u0430yment.success',
  'payment.success\u200b',
  '\u202epayment.success',
  'payment.\ufeffsuccess',
  'payment.su\u0301ccess',
  '\uff50ayment.success',
  'payment.success\n',
  'payment.success\r\nX-Evil: 1',
  'payment.success\u2028',
  'payment%2esuccess',
  'payment/success',
  '../payment',
  '\u0660\u0661',
  '\ud83d\udcef',
];
const lookalikes: readonly Row[] = LOOKALIKES.flatMap((text) => [
  refused(E, { type: text }, ['type']),
  refused(W, { events: [text] }, ['events.0']),
  refused(E, { id: text }, ['id']),
  row(`GET /v1/deliveries?event_type=${encodeURIComponent(text)}`, 'event_type', 'invalid_request', {
    paths: ['event_type'],
  }),
  row(`GET /v1/events/${encodeURIComponent(text)}`, 'an id that looks like one', 'not_found'),
]);

const NUMBERS = ['1e400', '-1e400', '1e-400', '1000000000', '-0', '0', '1.5', '1e5', '-1'];
const numbers: readonly Row[] = [
  ...NUMBERS.map((number) => splicing(W, `"timeout_ms":${number}`, `timeout_ms ${number}`, ['timeout_ms'])),
  ...NUMBERS.map((number) =>
    splicing(W, `"rate_limit_per_second":${number}`, `rate ${number}`, ['rate_limit_per_second']),
  ),
  ...NUMBERS.map((number) =>
    splicing(WP, `"max_in_flight":${number}`, `max_in_flight ${number}`, ['max_in_flight']),
  ),
  ...['1e400', '-1', '604801', '1e5000'].map((number) =>
    splicing(WP, `"retry_schedule_seconds":[${number}]`, `a wait of ${number}`, ['retry_schedule_seconds.0']),
  ),
  ...[
    'NaN',
    'Infinity',
    '-Infinity',
    '0x10',
    '010',
    '+1',
    '.5',
    '1.',
    '1_000',
    '1e',
    '\u0661',
    '1n',
    '--1',
  ].map((number) =>
    row(W, `timeout_ms ${number}`, 'malformed_json', { body: spliced(W, `"timeout_ms":${number}`) }),
  ),
  ...['1e400', '1e3', 'Infinity', 'NaN', '0b1', '\uff15', '9'.repeat(400), '[]', 'true', 'null'].map(
    (limit) =>
      row(`GET /v1/webhooks?limit=${encodeURIComponent(limit)}`, 'limit', 'invalid_request', {
        paths: ['limit'],
      }),
  ),
];

const POLLUTION = [
  '"__proto__":{"isAdmin":true}',
  '"constructor":{"prototype":{"isAdmin":true}}',
  '"prototype":{"isAdmin":true}',
  '"\\u005f\\u005fproto\\u005f\\u005f":{}',
  '"__defineGetter__":1',
  '"hasOwnProperty":null',
  '"valueOf":1',
  '"toJSON":1',
  '"then":1',
];
const pollution: readonly Row[] = [
  ...[MP, K, W, WP, CANCEL].flatMap((call) =>
    POLLUTION.slice(1).map((member) => splicing(call as CallName, member, member)),
  ),
  splicing(M, '"metadata":{"\\u005f_proto__":"x"}', 'an escaped __proto__ in metadata', [
    'metadata.__proto__',
  ]),
  splicing(WP, '"metadata":{"a":"b","__proto__":{"x":"y"}}', '__proto__ in metadata', ['metadata.__proto__']),
  splicing(M, '"metadata":{"constructor":{"prototype":{"x":"y"}}}', 'constructor', ['metadata.constructor']),
  splicing(WP, '"headers":{"__proto__":{"x":"y"}}', '__proto__ in headers', ['headers']),
  splicing(W, '"signatures":[{"scheme":"hex","__proto__":{}}]', '__proto__ in a signature', [
    'signatures.0.__proto__',
  ]),
  splicing(W, '"signatures":[{"__proto__":{"scheme":"hex"}}]', 'a scheme by its prototype'),
  ...['__proto__', 'constructor', 'prototype', '__proto__[x]', 'constructor[prototype][x]', 'limit[]'].map(
    (name) =>
      row(`GET /v1/webhooks?${encodeURIComponent(name)}=1`, 'a query', 'invalid_request', { paths: [name] }),
  ),
];

const depths: readonly Row[] = [
  splicing(M, `"x":${deep(200_000)}`, 'an unknown field 200,000 deep', ['x']),
  splicing(M, `"metadata":{"a":${deep(200_000)}}`, 'metadata 200,000 deep', ['metadata.a']),
  splicing(WP, `"headers":{"a":${deep(100_000)}}`, 'headers 100,000 deep', ['headers']),
  splicing(W, `"signatures":${deep(100_000)}`, 'signatures 100,000 deep', ['signatures.0']),
  splicing(E, `"x":${deep(200_000)}`, 'an event beside its data 200,000 deep', ['x']),
  row(M, 'arrays 250,000 deep', 'invalid_request', { body: deep(250_000), paths: [''] }),
  row(M, 'arrays that never end', 'malformed_json', { body: '['.repeat(500_000) }),
  row(M, 'objects that never end', 'malformed_json', { body: '{"a":'.repeat(100_000) }),
  splicing(M, keys(40_000), '40,000 unknown fields'),
  splicing(M, `"metadata":{${keys(40_000)}}`, '40,000 members of metadata', ['metadata']),
  splicing(WP, `"headers":{${keys(40_000).replaceAll(':1', ':"v"')}}`, '40,000 headers'),
  splicing(WP, `"events":[${'"a",'.repeat(100_000)}"a"]`, '100,001 patterns', ['events']),
  splicing(W, `"signatures":[${'{},'.repeat(100_000)}{}]`, '100,001 signatures'),
  splicing(WP, `"retry_schedule_seconds":[${'1,'.repeat(200_000)}1]`, '200,001 waits', [
    'retry_schedule_seconds',
  ]),
  splicing(K, `"scopes":[${'"webhooks:read",'.repeat(20_000)}"webhooks:read"]`, '20,001 scopes'),
  row(B, '100,000 events', 'invalid_request', {
    body: `{"events":[${'{},'.repeat(100_000)}{}]}`,
    paths: ['events'],
  }),
  splicing(M, `"${LONG}":1`, 'a field with a name of 100,000 characters'),
  splicing(M, '"name":"b"', 'a name twice', ['name']),
  splicing(M, '"metadata":{},"metadata":{}', 'metadata twice', ['metadata']),
  splicing(W, '"\\u0075rl":"http://10.0.0.1/"', 'a second url, escaped', ['url']),
  splicing(W, '"merchant_id":"{otherMerchant}"', 'a second merchant', ['merchant_id']),
  splicing(E, '"merchant\\u005fid":"{otherMerchant}"', 'a second merchant, escaped', ['merchant_id']),
];

export const TEXT_ABUSES: Readonly<Record<string, readonly Row[]>> = {
  'unfit texts': unfitTexts,
  'texts that look like others': lookalikes,
  numbers,
  'prototype pollution': pollution,
  'depth and number': depths,
};
