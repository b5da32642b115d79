import type { Method } from './wire.js';

/** Who calls; the test makes a key for each. */
export type Caller =
  'platform' | 'sender' | 'merchant' | 'reader' | 'other' | 'revoked' | 'expired' | 'erased' | 'nobody';

/**
 * A call and the answer that it must get. `{name}` in path, query and body stands for what the test has made under
 * that name.
 */
export interface Row {
  readonly name: string;
  readonly method: Method;
  readonly path: string;
  readonly by?: Caller;
  /** A value is sent as JSON, text and bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly code: string;
  /** Exactly what `data.errors` names; not looked at if left out. */
  readonly paths?: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;
export type CallName = keyof typeof CALLS;

const EVENT: Fields = { merchant_id: '{merchant}', type: 'payment.success', data: {} };
const WEBHOOK: Fields = { merchant_id: '{merchant}', url: '{url}', events: ['*'] };

/** Each call with a body that it would accept. */
const CALLS = {
  'POST /v1/merchants': { name: 'a merchant' },
  'PATCH /v1/merchants/{merchant}': {},
  'POST /v1/merchants/{merchant}/api-keys': { name: 'a key' },
  'POST /v1/api-keys': { name: 'a key' },
  'POST /v1/webhooks': WEBHOOK,
  'PATCH /v1/webhooks/{webhook}': {},
  'POST /v1/webhooks/{webhook}/secret/rotate': {},
  'POST /v1/webhooks/{webhook}/test': {},
  'PUT /v1/event-types/a.type': {},
  'POST /v1/events': EVENT,
  'POST /v1/events/batch': { events: [EVENT] },
  'POST /v1/deliveries/{delivery}/retry': {},
  'POST /v1/deliveries/{delivery}/cancel': {},
} as const satisfies Readonly<Record<string, Fields>>;
const CALL_NAMES = Object.keys(CALLS) as CallName[];

const M = 'POST /v1/merchants';
const MP = 'PATCH /v1/merchants/{merchant}';
const K = 'POST /v1/merchants/{merchant}/api-keys';
const PK = 'POST /v1/api-keys';
const W = 'POST /v1/webhooks';
const WP = 'PATCH /v1/webhooks/{webhook}';
const ROTATE = 'POST /v1/webhooks/{webhook}/secret/rotate';
const TEST = 'POST /v1/webhooks/{webhook}/test';
const E = 'POST /v1/events';
const B = 'POST /v1/events/batch';
const CANCEL = 'POST /v1/deliveries/{delivery}/cancel';

const DATA_BYTES_MAX = 262_144;
const BODY_BYTES_MAX = 512 * 1024;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
const DAY_MS = 86_400_000;

function target(call: string): { readonly method: Method; readonly path: string } {
  const [method, path] = call.split(' ', 2) as [Method, string];
  return { method, path };
}

const STATUS_OF = {
  malformed_json: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  idempotency_conflict: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  invalid_request: 422,
  url_not_allowed: 422,
} as const;
type Code = keyof typeof STATUS_OF;

export function row(call: string, name: string, code: Code, rest: Partial<Row> = {}): Row {
  return { name: `${call}: ${name}`, ...target(call), status: STATUS_OF[code], code, ...rest };
}

/** The call's good body with some fields replaced (`undefined`: left out), which is refused at these paths. */
export function refused(
  call: CallName,
  fields: Fields,
  paths?: readonly string[],
  code: Code = 'invalid_request',
): Row {
  const name = shortened(
    JSON.stringify(fields, (_, value: unknown) => (value === undefined ? 'left out' : value)),
  );
  return row(call, name, code, { body: { ...CALLS[call], ...fields }, ...(paths && { paths }) });
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}… (${text.length})` : text;
}

/** The call's good body as text with another member spliced in at its end. */
export function spliced(call: CallName, member: string): string {
  const text = JSON.stringify(CALLS[call]);
  return `${text.slice(0, -1)}${text === '{}' ? '' : ','}${member}}`;
}

const numbered = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-Own-${index}`, 'v']));
const times = <Value>(count: number, value: Value): Value[] => Array.from({ length: count }, () => value);
/** An object of exactly this many bytes. */
export const dataOf = (bytes: number): string => `{"fill":"${'x'.repeat(bytes - 11)}"}`;
/** An object nested this deep. */
export const nested = (depth: number): string => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`;
export const eventWith = (data: string): string =>
  `${JSON.stringify({ ...EVENT, data: undefined }).slice(0, -1)},"data":${data}}`;
const batchWith = (...events: readonly string[]): string => `{"events":[${events.join()}]}`;

/** Wrong in every way at once; each row puts one thing right, so that the next check speaks. */
const tooLarge = `{"nothing":"${'x'.repeat(BODY_BYTES_MAX)}"`;
const orderOfChecks: readonly Row[] = ['webhooks', 'merchants'].flatMap((resource) => {
  const unknown = `PATCH /v1/${resource}/${resource === 'webhooks' ? 'wh' : 'mrc'}_00000000000000000000000000`;
  const known = resource === 'webhooks' ? WP : MP;
  const headers = { 'content-type': 'text/plain' };
  return [
    row(unknown, '413 before all else', 'payload_too_large', { by: 'nobody', headers, body: tooLarge }),
    row(unknown, '401 before 403', 'unauthenticated', { by: 'nobody', headers, body: '{' }),
    row(unknown, '403 before 404', 'forbidden', { by: 'reader', headers, body: '{' }),
    row(unknown, '404 before 415', 'not_found', { headers, body: '{' }),
    row(known, '415 before 400', 'unsupported_media_type', { headers, body: '{' }),
    row(known, '400 before 422', 'malformed_json', { body: '{"nothing":1' }),
    row(known, '422 at last', 'invalid_request', { body: '{"nothing":1}', paths: ['nothing'] }),
  ];
});

const unknownFields: readonly Row[] = [
  ...CALL_NAMES.map((call) => refused(call, { nothing: 1 }, ['nothing'])),
  ...['constructor', 'prototype', 'toString', 'Name', ''].map((name) => refused(M, { [name]: 'x' }, [name])),
  ...CALL_NAMES.map((call) =>
    row(call, '__proto__', 'invalid_request', {
      body: spliced(call, '"__proto__":{"admin":true}'),
      paths: ['__proto__'],
    }),
  ),
  row(E, 'an escaped __proto__', 'invalid_request', {
    body: spliced(E, '"\\u005f_proto__":1'),
    paths: ['__proto__'],
  }),
  refused(B, { events: [EVENT, { ...EVENT, nothing: 1 }] }, ['events.1.nothing']),
  refused(W, { signatures: [{ scheme: 'hex', nothing: 1 }] }, ['signatures.0.nothing']),
];

/** Fields and values of the contract that do not work yet are not known yet. */
const laterFields: readonly Row[] = [
  ...[W, WP].flatMap((call) =>
    Object.entries({
      ordered: true,
      ordering_on_failure: 'block',
      sequenced: true,
      forward_traceparent: true,
    }).map(([name, value]) => refused(call as CallName, { [name]: value }, [name])),
  ),
  refused(WP, { secret: 'a_secret_of_its_own' }, ['secret']),
];

const fields: readonly Row[] = [
  refused(M, { name: undefined }, ['name']),
  ...[1, null, true, [], {}, ''].map((name) => refused(M, { name }, ['name'])),
  refused(M, { external_id: 5 }, ['external_id']),
  refused(M, { external_id: '' }, ['external_id']),
  refused(M, { dialect: 'morse' }, ['dialect']),
  refused(M, { dialect: null }, ['dialect']),
  refused(M, { metadata: [] }, ['metadata']),
  refused(M, { metadata: 'x' }, ['metadata']),
  refused(M, { metadata: { a: 1, b: null, c: {} } }, ['metadata.a', 'metadata.b', 'metadata.c']),
  refused(M, { metadata: { '': 'x' } }, ['metadata.']),
  refused(M, { metadata: Object.fromEntries(times(51, 0).map((_, index) => [`m${index}`, 'x'])) }, [
    'metadata',
  ]),
  row(M, 'metadata.__proto__', 'invalid_request', {
    body: spliced(M, '"metadata":{"__proto__":"x"}'),
    paths: ['metadata.__proto__'],
  }),
  refused(MP, { name: null }, ['name']),
  refused(MP, { id: '{merchant}' }, ['id']),
  refused(MP, { status: 'active' }, ['status']),

  ...[K, PK].flatMap((call) => [
    refused(call as CallName, { name: undefined }, ['name']),
    refused(call as CallName, { scopes: [] }, ['scopes']),
    refused(call as CallName, { scopes: 'webhooks:read' }, ['scopes']),
    refused(call as CallName, { scopes: ['webhooks:read', 'webhooks:read'] }, ['scopes']),
    refused(call as CallName, { scopes: ['webhooks:read', 'root'] }, ['scopes.1']),
    refused(call as CallName, { expires_at: '2026-11-22' }, ['expires_at']),
    refused(call as CallName, { expires_at: '2020-01-01T00:00:00Z' }, ['expires_at']),
    refused(call as CallName, { expires_at: 1_900_000_000 }, ['expires_at']),
    refused(call as CallName, { expires_at: '2027-02-30T00:00:00Z' }, ['expires_at']),
  ]),
  refused(K, { scopes: ['events:write'] }, ['scopes.0']),
  refused(K, { scopes: ['webhooks:read', 'admin'] }, ['scopes.1']),

  refused(W, { merchant_id: undefined }, ['merchant_id']),
  refused(W, { merchant_id: 5 }, ['merchant_id']),
  refused(W, { url: undefined }, ['url']),
  refused(W, { url: 5 }, ['url']),
  refused(W, { events: undefined }, ['events']),
  refused(W, { events: '*' }, ['events']),
  ...[W, WP].flatMap((call) => [
    ...[
      '',
      'not a url',
      '/relative',
      'ftp://shop.example/',
      'https://user:pw@shop.example/',
      'https://',
      'javascript:alert(1)',
      'https://shop.example:22/',
      'https://10.0.0.1/',
      'https://[fd00::1]/',
      'http://169.254.169.254/',
      'http://0x0a000001/',
      'http://shop.example/ x',
      'http://shop.example/\n',
      `https://shop.example/${'x'.repeat(2_028)}`,
    ].map((url) => refused(call as CallName, { url }, ['url'], 'url_not_allowed')),
    refused(call as CallName, { events: [] }, ['events']),
    refused(call as CallName, { events: times(101, 'payment.success') }, ['events']),
    ...[
      '',
      'payment.',
      '.payment',
      'pay ment',
      'payment..x',
      '*.success',
      'payment.*.x',
      'payment*',
      '**',
      'p\u00e4y',
      'x'.repeat(129),
    ].map((pattern) => refused(call as CallName, { events: ['payment.success', pattern] }, ['events.1'])),
    refused(call as CallName, { events: [5, null] }, ['events.0', 'events.1']),
    refused(call as CallName, { description: 5 }, ['description']),
    refused(call as CallName, { dialect: 'morse' }, ['dialect']),
    refused(call as CallName, { payload_format: 'xml' }, ['payload_format']),
    refused(call as CallName, { signatures: 'hex' }, ['signatures']),
    refused(call as CallName, { signatures: [{}] }, ['signatures.0.scheme']),
    refused(call as CallName, { signatures: [{ scheme: 'md5' }] }, ['signatures.0.scheme']),
    refused(call as CallName, { signatures: ['hex'] }, ['signatures.0']),
    refused(call as CallName, { signatures: [{ scheme: 'hex', header: 'X Signature' }] }, [
      'signatures.0.header',
    ]),
    refused(call as CallName, { signatures: [{ scheme: 'hex' }, { scheme: 'hex' }] }, [
      'signatures.1.header',
    ]),
    ...[999, 30_001, 0, -1, 1_000.5, '10000', null].map((timeout_ms) =>
      refused(call as CallName, { timeout_ms }, ['timeout_ms']),
    ),
    refused(call as CallName, { retry_schedule_seconds: times(21, 1) }, ['retry_schedule_seconds']),
    refused(call as CallName, { retry_schedule_seconds: 5 }, ['retry_schedule_seconds']),
    refused(call as CallName, { retry_schedule_seconds: [1, -1, 1.5, '4'] }, [
      'retry_schedule_seconds.1',
      'retry_schedule_seconds.2',
      'retry_schedule_seconds.3',
    ]),
    refused(call as CallName, { retry_preset: 'forever' }, ['retry_preset']),
    refused(call as CallName, { retry_preset: 'standard', retry_schedule_seconds: [1] }, ['retry_preset']),
    refused(call as CallName, { headers: [] }, ['headers']),
    refused(call as CallName, { headers: { 'X-Own': 5 } }, ['headers']),
    refused(call as CallName, { headers: numbered(21) }, ['headers']),
    ...[
      'host',
      'Connection',
      'Transfer-Encoding',
      'content-length',
      'Content-Type',
      'TE',
      'upgrade',
      'X-Posthorn-Signature',
      'x-posthorn-event-id',
      'Webhook-Signature',
      'X-Signature',
      'x own',
      'x\r\nown',
      'x:own',
      '',
    ].map((name) => refused(call as CallName, { headers: { [name]: 'v' } }, [`headers.${name}`])),
    ...['a\r\nb', 'nul\0', '\u{1f4ef}', '\u0436'].map((value) =>
      refused(call as CallName, { headers: { 'X-Own': value } }, ['headers.X-Own']),
    ),
    refused(call as CallName, { headers: { 'X-Own': 'a', 'x-own': 'b' } }, ['headers.x-own']),
    refused(call as CallName, { metadata: { a: 1 } }, ['metadata.a']),
    ...[5, 'x', {}, times(11, { pointer: '/a', equals: 1 })].map((filter) =>
      refused(call as CallName, { filter }, ['filter']),
    ),
    ...['', 'currency', '#/a', '/a~', '/a~2', '/nul\0', '/\ud800', 5, null].map((pointer) =>
      refused(call as CallName, { filter: [{ pointer, equals: 1 }] }, ['filter.0.pointer']),
    ),
    ...[{}, { equals: 1, in: [1] }].map((fields) =>
      refused(call as CallName, { filter: [{ pointer: '/a', ...fields }] }, ['filter.0']),
    ),
    ...[{}, [], [1], 'x'.repeat(257)].map((equals) =>
      refused(call as CallName, { filter: [{ pointer: '/a', equals }] }, ['filter.0.equals']),
    ),
    ...[[], 'USD', times(51, 'USD'), null].map((values) =>
      refused(call as CallName, { filter: [{ pointer: '/a', in: values }] }, ['filter.0.in']),
    ),
    row(call, 'a number of 65 digits in a filter', 'invalid_request', {
      body: spliced(call as CallName, `"filter":[{"pointer":"/a","equals":${'1'.repeat(65)}}]`),
      paths: ['filter.0.equals'],
    }),
    row(call, '__proto__ in a filter', 'invalid_request', {
      body: spliced(call as CallName, '"filter":[{"pointer":"/a","equals":1,"__proto__":{"in":[]}}]'),
      paths: ['filter.0.__proto__'],
    }),
    ...[[], 200, times(2, 200), '2xx'].map((success_statuses) =>
      refused(call as CallName, { success_statuses }, ['success_statuses']),
    ),
    refused(call as CallName, { success_statuses: [100, 199, 410, 600, 200.5, '200', null, 299] }, [
      ...[0, 1, 2, 3, 4, 5, 6].map((index) => `success_statuses.${index}`),
    ]),
    ...[{}, [], true, numbered(11)].map((required_response) =>
      refused(call as CallName, { required_response }, ['required_response']),
    ),
    refused(
      call as CallName,
      { required_response: { ok: {}, list: [], long: 'x'.repeat(257), fine: null } },
      ['required_response.ok', 'required_response.list', 'required_response.long'],
    ),
    refused(call as CallName, { signatures: times(2, { scheme: 'standard-webhooks-ed25519' }) }, [
      'signatures.1.header',
    ]),
  ]),
  refused(WP, { events: null }, ['events']),
  refused(WP, { url: null }, ['url']),
  refused(WP, { status: 'on' }, ['status']),
  refused(WP, { merchant_id: '{merchant}' }, ['merchant_id']),
  refused(WP, { headers: { 'X-New': '***' } }, ['headers.X-New']),
  refused(W, { headers: { 'X-New': '***' } }, ['headers']),
  ...[
    'short',
    'x'.repeat(257),
    'with a line\nbreak and more',
    'whsec_not/base64!',
    `whsec_${'A'.repeat(8)}`,
  ].flatMap((secret) => [refused(W, { secret }, ['secret']), refused(ROTATE, { secret }, ['secret'])]),
  ...[5, null].flatMap((secret) => [
    refused(W, { secret }, ['secret']),
    refused(ROTATE, { secret }, ['secret']),
  ]),
  refused(W, { secret: 'x'.repeat(16), signatures: [{ scheme: 'standard-webhooks-ed25519' }] }, ['secret']),
  ...[-1, 2_592_001, 0.5, '60', null].map((overlap_seconds) =>
    refused(ROTATE, { overlap_seconds }, ['overlap_seconds']),
  ),

  refused(E, { merchant_id: undefined }, ['merchant_id']),
  refused(E, { type: undefined }, ['type']),
  refused(E, { data: undefined }, ['data']),
  row(E, 'nothing', 'invalid_request', { paths: ['merchant_id', 'type', 'data'] }),
  ...[5, null, {}, '', 'a b', 'payment.*', '*', '.a', 'a.', 'x'.repeat(129)].map((type) =>
    refused(E, { type }, ['type']),
  ),
  ...[
    5,
    '',
    '-a',
    '.a',
    'a b',
    'a/b',
    'x'.repeat(129),
    '{event}',
    '{merchant}',
    'evt_01h455vb4pex5vsknk084sn02q',
    'p\u0430y',
  ].map((id) => refused(E, { id }, ['id'])),
  ...[
    5,
    '',
    'now',
    '2026-11-22',
    '2026-11-22T00:00:00',
    '2026-13-01T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-11-22T24:00:00Z',
  ].flatMap((time) => [
    refused(E, { created_at: time }, ['created_at']),
    refused(E, { deliver_at: time }, ['deliver_at']),
  ]),
  refused(E, { deliver_at: new Date(Date.now() + 31 * DAY_MS).toISOString() }, ['deliver_at']),
  ...[5, '', 'x'.repeat(129), 'a\0b'].map((ordering_key) => refused(E, { ordering_key }, ['ordering_key'])),

  refused(B, { events: undefined }, ['events']),
  refused(B, { events: [] }, ['events']),
  refused(B, { events: {} }, ['events']),
  refused(B, { events: times(501, EVENT) }, ['events']),
  refused(B, { events: [EVENT, 5] }, ['events.1']),
  refused(B, { events: [EVENT, { ...EVENT, type: undefined }] }, ['events.1.type']),
  refused(
    B,
    {
      events: [
        { ...EVENT, id: 'same' },
        { ...EVENT, id: 'same' },
      ],
    },
    ['events.1.id'],
  ),
  refused(
    B,
    {
      events: [
        { ...EVENT, data: [] },
        { ...EVENT, id: 5 },
      ],
    },
    ['events.0.data', 'events.1.id'],
  ),
];

const eventData: readonly Row[] = [
  ...['[]', '"{}"', 'null', '5', 'true'].map((data) =>
    row(E, `data ${data}`, 'invalid_request', { body: eventWith(data), paths: ['data'] }),
  ),
  row(E, 'data 1,001 deep', 'invalid_request', { body: eventWith(nested(1_001)), paths: ['data'] }),
  row(E, 'data 50,000 deep', 'invalid_request', { body: eventWith(nested(50_000)), paths: ['data'] }),
  row(E, 'data of 262,145 bytes', 'invalid_request', {
    body: eventWith(dataOf(DATA_BYTES_MAX + 1)),
    paths: ['data'],
  }),
  row(B, 'data 1,001 deep', 'invalid_request', {
    body: batchWith(eventWith('{}'), eventWith(nested(1_001))),
    paths: ['events.1.data'],
  }),
  row(B, 'data of 262,145 bytes', 'invalid_request', {
    body: batchWith(eventWith(dataOf(DATA_BYTES_MAX + 1))),
    paths: ['events.0.data'],
  }),
  ...['"data":{}', '"d\\u0061ta":{}', '"type":"payment.success"', '"typ\\u0065":"x"'].map((member) =>
    row(E, `a second ${member}`, 'invalid_request', {
      body: spliced(E, member),
      paths: [member.startsWith('"d') ? 'data' : 'type'],
    }),
  ),
  row(B, 'a second data', 'invalid_request', {
    body: batchWith(eventWith('{}'), spliced(E, '"d\\u0061ta":{}')),
    paths: ['events.1.data'],
  }),
  row(B, 'a second events', 'invalid_request', { body: spliced(B, '"event\\u0073":[]'), paths: ['events'] }),
  row(M, 'a second name', 'invalid_request', { body: spliced(M, '"n\\u0061me":"b"'), paths: ['name'] }),
  row(WP, 'a field twice', 'invalid_request', {
    body: '{"description":"a","description":"a"}',
    paths: ['description'],
  }),
];

const bodies: readonly Row[] = CALL_NAMES.flatMap((call) => {
  const good = JSON.stringify(CALLS[call]);
  const malformed: Readonly<Record<string, string | Uint8Array>> = {
    'a byte-order mark': `\ufeff${good}`,
    'UTF-16': Buffer.from(good, 'utf16le'),
    'UTF-16 with its mark': Buffer.from(`\ufeff${good}`, 'utf16le'),
    'invalid UTF-8': Buffer.from(`${good.slice(0, -1)},"x":"\xff"}`, 'latin1'),
    'an overlong slash': Buffer.from(`${good.slice(0, -1)},"x":"\xc0\xaf"}`, 'latin1'),
    'a surrogate in UTF-8': Buffer.from(`${good.slice(0, -1)},"x":"\xed\xa0\x80"}`, 'latin1'),
    'a trailing NUL': `${good}\0`,
    'trailing bytes': `${good}x`,
    'two documents': `${good}${good}`,
    'a trailing comma': `${good.slice(0, -1)},}`,
    'a comment': `${good}//`,
    'cut short': good.slice(0, -1),
    'nothing but blanks': ' \n',
    'a form': 'name=a&type=b',
    'single quotes': "{'name':'a'}",
  };
  return [
    ...Object.entries(malformed).map(([name, body]) => row(call, name, 'malformed_json', { body })),
    ...['[]', 'null', '"x"', '5', `[${good}]`].map((body) =>
      row(call, `the body ${shortened(body)}`, 'invalid_request', { body, paths: [''] }),
    ),
    row(call, 'plain text', 'unsupported_media_type', {
      body: good,
      headers: { 'content-type': 'text/plain' },
    }),
  ];
});

const mediaTypes: readonly Row[] = [
  'text/json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/problem+json',
  'application/json5',
  'application/json; charset=utf-16',
  'application/json; charset=iso-8859-1',
  'application',
  '*/*',
  '',
  'application/json, text/plain',
].map((type) =>
  row(E, `the content type ${type}`, 'unsupported_media_type', {
    body: JSON.stringify(EVENT),
    headers: { 'content-type': type },
  }),
);

const sizes: readonly Row[] = [
  ...CALL_NAMES.filter((call) => call !== B).map((call) =>
    row(call, 'a body of 512 KiB and a byte', 'payload_too_large', {
      body: spliced(call, `"x":"${'x'.repeat(BODY_BYTES_MAX)}"`),
    }),
  ),
  row(B, 'a body of 8 MiB and a byte', 'payload_too_large', { body: ' '.repeat(BATCH_BYTES_MAX + 1) }),
  row(E, 'a body of 512 KiB', 'malformed_json', { body: ' '.repeat(BODY_BYTES_MAX) }),
  row('POST /v1/nothing', 'a body of 512 KiB and a byte', 'payload_too_large', {
    body: ' '.repeat(BODY_BYTES_MAX + 1),
  }),
];

const LISTS = [
  'GET /v1/merchants',
  'GET /v1/api-keys',
  'GET /v1/merchants/{merchant}/api-keys',
  'GET /v1/event-types',
  'GET /v1/webhooks',
  'GET /v1/deliveries',
  'GET /deliveries',
  'GET /v1/webhooks/{webhook}/deliveries',
];
const queries: readonly Row[] = [
  ...LISTS.flatMap((list) => [
    ...[
      '0',
      '201',
      '1.5',
      '1e2',
      '%205',
      '5%20',
      '-1',
      '+5',
      '0x10',
      '',
      '99999999999999999999',
      '\u0665',
    ].map((limit) =>
      row(
        `${list}?limit=${encodeURI(decodeURIComponent(limit)).replace('+', '%2B')}`,
        'limit',
        'invalid_request',
        { paths: ['limit'] },
      ),
    ),
    row(`${list}?limit=5&limit=5`, 'limit twice', 'invalid_request', { paths: ['limit'] }),
    row(`${list}?nothing=1`, 'an unknown filter', 'invalid_request', { paths: ['nothing'] }),
    row(`${list}?__proto__=1`, '__proto__', 'invalid_request', { paths: ['__proto__'] }),
    row(`${list}?cursor=`, 'an empty cursor', 'invalid_request', { paths: ['cursor'] }),
    row(`${list}?cursor={alteredCursor}`, 'an altered cursor', 'invalid_request', { paths: ['cursor'] }),
  ]),
  ...LISTS.slice(1).map((list) =>
    row(`${list}?cursor={merchantsCursor}`, 'the cursor of another list', 'invalid_request', {
      paths: ['cursor'],
    }),
  ),
  row('GET /v1/merchants?cursor={deliveriesCursor}', 'the cursor of another list', 'invalid_request', {
    paths: ['cursor'],
  }),
  row(
    'GET /v1/deliveries?status=succeeded&cursor={deliveriesCursor}',
    'the cursor of other filters',
    'invalid_request',
    { paths: ['cursor'] },
  ),
  row(
    'GET /v1/deliveries?merchant_id={merchant}&cursor={deliveriesCursor}',
    'the cursor of all merchants',
    'invalid_request',
    { paths: ['cursor'] },
  ),
  row('GET /v1/deliveries?cursor={deliveriesCursor}', "the platform's cursor", 'invalid_request', {
    by: 'merchant',
    paths: ['cursor'],
  }),
  row('GET /v1/deliveries?status=done', 'status', 'invalid_request', { paths: ['status'] }),
  row('GET /v1/deliveries?outcome=ok', 'outcome', 'invalid_request', { paths: ['outcome'] }),
  ...['99', '1000', 'abc', '20x', '0200'].map((code) =>
    row(`GET /v1/deliveries?status_code=${code}`, 'status_code', 'invalid_request', {
      paths: ['status_code'],
    }),
  ),
  row('GET /v1/deliveries?event_type=payment.*', 'event_type', 'invalid_request', { paths: ['event_type'] }),
  row('GET /v1/deliveries?event_id=a%20b', 'event_id', 'invalid_request', { paths: ['event_id'] }),
  row('GET /v1/deliveries?created_after=today&created_before=5', 'times', 'invalid_request', {
    paths: ['created_after', 'created_before'],
  }),
  row('GET /v1/webhooks/{webhook}/deliveries?webhook_id={webhook}', 'webhook_id', 'invalid_request', {
    paths: ['webhook_id'],
  }),
];

/** What is not there, is somebody else's, or never was an id: the same 404. */
const things: readonly Row[] = [
  'GET /v1/merchants/mrc_00000000000000000000000000',
  'GET /v1/merchants/{MERCHANT}',
  'GET /v1/merchants/{webhook}',
  'GET /v1/merchants/{merchant}x',
  'GET /v1/merchants/{merchantUuid}',
  'DELETE /v1/merchants/{webhook}',
  'GET /v1/event-types/a.type',
  'GET /v1/event-types/a..type',
  'DELETE /v1/event-types/a.type',
  'DELETE /v1/event-types/a%20type',
  'POST /v1/webhooks/{delivery}/test',
  'POST /v1/merchants/{webhook}/api-keys',
  'GET /v1/merchants/mrc_zzzzzzzzzzzzzzzzzzzzzzzzzz',
  'GET /v1/webhooks/{WEBHOOK}',
  'GET /v1/webhooks/{merchant}',
  'GET /v1/webhooks/{delivery}',
  'PATCH /v1/webhooks/{merchant}',
  'DELETE /v1/webhooks/{merchant}',
  'GET /v1/webhooks/{merchant}/secret',
  'POST /v1/webhooks/{WEBHOOK}/secret/rotate',
  'GET /v1/webhooks/{webhook}%20',
  'GET /v1/webhooks/{webhook}%00',
  'GET /v1/webhooks/wh_{webhook}',
  'GET /v1/webhooks/{delivery}/deliveries',
  'GET /v1/deliveries/{DELIVERY}',
  'GET /v1/deliveries/{webhook}',
  'POST /v1/deliveries/{webhook}/retry',
  'POST /v1/deliveries/{webhook}/cancel',
  'GET /v1/api-keys/{merchant}',
  'GET /v1/api-keys/{keyOfMerchant}',
  'DELETE /v1/api-keys/{keyOfMerchant}',
  'DELETE /v1/merchants/{merchant}/api-keys/{keyOfOther}',
  'DELETE /v1/merchants/{merchant}/api-keys/{merchant}',
  'GET /v1/webhooks/{otherWebhook}?merchant_id={merchant}',
  'GET /v1/deliveries/{otherDelivery}?merchant_id={merchant}',
  'GET /v1/webhooks?merchant_id=x',
  'GET /v1/webhooks?merchant_id={MERCHANT}',
  'GET /v1/webhooks?merchant_id={webhook}',
  'GET /v1/deliveries?merchant_id=',
  'GET /v1/deliveries?webhook_id={merchant}',
  'GET /v1/deliveries?webhook_id=',
  'GET /v1/deliveries?merchant_id={merchant}&webhook_id={otherWebhook}',
].map((call) => row(call, 'not there', 'not_found'));
const foreignThings: readonly Row[] = [
  'GET /v1/webhooks/{otherWebhook}',
  'PATCH /v1/webhooks/{otherWebhook}',
  'DELETE /v1/webhooks/{otherWebhook}',
  'GET /v1/webhooks/{otherWebhook}/deliveries',
  'GET /v1/webhooks/{otherWebhook}/secret',
  'POST /v1/webhooks/{otherWebhook}/secret/rotate',
  'GET /v1/deliveries/{otherDelivery}',
  'POST /v1/deliveries/{otherDelivery}/retry',
  'POST /v1/deliveries/{otherDelivery}/cancel',
  'POST /v1/webhooks/{otherWebhook}/test',
  'GET /v1/deliveries?webhook_id={otherWebhook}',
  'GET /v1/deliveries?merchant_id={otherMerchant}',
  'GET /v1/webhooks?merchant_id={otherMerchant}',
  'GET /deliveries?merchant_id={otherMerchant}',
].map((call) => row(call, "somebody else's", 'not_found', { by: 'merchant' }));
const foreignInBodies: readonly Row[] = [
  row(W, "for somebody else's merchant", 'not_found', {
    by: 'merchant',
    body: { ...WEBHOOK, merchant_id: '{otherMerchant}' },
  }),
  ...['x', '{webhook}', '{MERCHANT}', 'mrc_00000000000000000000000000'].flatMap((merchant_id) => [
    row(W, `for ${merchant_id}`, 'not_found', { body: { ...WEBHOOK, merchant_id } }),
    row(E, `for ${merchant_id}`, 'not_found', { body: { ...EVENT, merchant_id } }),
    row(B, `for ${merchant_id}`, 'not_found', { body: { events: [EVENT, { ...EVENT, merchant_id }] } }),
  ]),
];

const ADMIN_CALLS = [
  M,
  MP,
  K,
  PK,
  'GET /v1/merchants',
  'GET /v1/merchants/{merchant}',
  'DELETE /v1/merchants/{merchant}',
  'GET /v1/api-keys',
  'DELETE /v1/api-keys/{keyOfMerchant}',
  'GET /v1/merchants/{merchant}/api-keys',
  'DELETE /v1/merchants/{merchant}/api-keys/{keyOfMerchant}',
  'PUT /v1/event-types/a.type',
  'DELETE /v1/event-types/a.type',
];
const keys: readonly Row[] = [
  ...ADMIN_CALLS.flatMap((call) => [
    row(call, "a merchant's key", 'forbidden', { by: 'merchant' }),
    row(call, 'a platform key that may only send events', 'forbidden', { by: 'sender' }),
  ]),
  row(E, "a merchant's key", 'forbidden', { by: 'merchant', body: EVENT }),
  row(B, "a merchant's key", 'forbidden', { by: 'merchant', body: { events: [EVENT] } }),
  row(W, 'a key that may only read', 'forbidden', { by: 'reader', body: WEBHOOK }),
  row(WP, 'a key that may only read', 'forbidden', { by: 'reader', body: {} }),
  row('GET /v1/webhooks/{webhook}/secret', 'a key that may only read', 'forbidden', { by: 'reader' }),
  row(ROTATE, 'a key that may only read', 'forbidden', { by: 'reader', body: {} }),
  row('DELETE /v1/webhooks/{webhook}', 'a key that may only read', 'forbidden', { by: 'reader' }),
  row('GET /v1/deliveries', 'a key that may only read webhooks', 'forbidden', { by: 'reader' }),
  row(CANCEL, 'a key that may only read', 'forbidden', { by: 'reader' }),
  row(TEST, 'a key that may only read', 'forbidden', { by: 'reader' }),
  ...(['nobody', 'revoked', 'expired', 'erased'] as const).flatMap((by) =>
    [
      W,
      WP,
      E,
      B,
      'GET /v1/webhooks',
      'GET /v1/deliveries/{delivery}',
      'DELETE /v1/webhooks/{webhook}',
      'GET /v1/merchants',
    ].map((call) => row(call, `a key: ${by}`, 'unauthenticated', { by })),
  ),
  ...[
    '',
    'Bearer',
    'Bearer ',
    'Basic eDp5',
    'Bearer x',
    '{platformKey}',
    'Token {platformKey}',
    'Bearer{platformKey}',
    'Bearer {platformKey}0',
    'Bearer "{platformKey}"',
    'Bearer {platformKey}, Bearer {platformKey}',
    'Bearer {wrongChecksum}',
    'Bearer {PLATFORMKEY}',
    `Bearer ${'x'.repeat(300)}`,
    'Bearer phk_\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9',
  ].map((authorization) =>
    row('GET /v1/webhooks', `Authorization: ${shortened(authorization)}`, 'unauthenticated', {
      by: 'nobody',
      headers: { authorization },
    }),
  ),
];

const paths: readonly Row[] = [
  '//v1/merchants',
  '/v1//merchants',
  '/v1/merchants/',
  '/v1/merchants/.',
  '/v1/merchants/..',
  '/v1/merchants/%2e%2e',
  '/v1/merchants/%2e%2e%2fapi-keys',
  '/v1/%2e%2e/healthz',
  '/v1/../healthz',
  '/./healthz',
  '/V1/merchants',
  '/v1/Merchants',
  '/v1/merchants/%00',
  '/v1/merchants%00',
  '/v1/merchants/%',
  '/v1/merchants/%zz',
  '/v1/merchants/%c0%ae',
  '/v1/merchants/%ff',
  '/v1/merchants;x=1',
  '/v1/merchants/{merchant}/',
  '/v1/merchants/{merchant}/x',
  '/v1/webhooks/{webhook}/deliveries/',
  '/v1/merchants%2f{merchant}',
  '/v1',
  '/v2/merchants',
  '/v1/merchants.json',
  '/deliveries/{delivery}',
  '/docs/..%2f..%2fpackage.json',
  '/docs/../package.json',
  '/docs/%2e%2e/package.json',
  '/docs/__proto__',
  '/.env',
  '/v1\\merchants',
  `/v1/merchants/${'x'.repeat(8_000)}`,
  `/v1/${'x/'.repeat(2_000)}`,
  `/v1/merchants/${'%41'.repeat(1_000)}`,
].map((path) => row(`GET ${path}`, 'no such path', 'not_found'));

const idempotencyKeys: readonly Row[] = ['', 'x'.repeat(256), 'a\tb', '\u00e9'].flatMap((key) =>
  [M, K, PK, W, ROTATE, E, B, CANCEL].map((call) =>
    row(call, `Idempotency-Key ${shortened(JSON.stringify(key))}`, 'invalid_request', {
      body: CALLS[call as CallName],
      headers: { 'idempotency-key': key },
      paths: ['Idempotency-Key'],
    }),
  ),
);

/** What is refused, by topic. */
export const REFUSALS: Readonly<Record<string, readonly Row[]>> = {
  'the order of the checks': orderOfChecks,
  'unknown fields': unknownFields,
  'fields of what does not work yet': laterFields,
  fields,
  "an event's data": eventData,
  bodies,
  'media types': mediaTypes,
  sizes,
  queries,
  'what is not there': [...things, ...foreignThings, ...foreignInBodies],
  keys,
  paths,
  'the Idempotency-Key': idempotencyKeys,
};

/** What stands exactly on a limit: the call's good body with these fields, or a query. */
export const ADMITTED: readonly Row[] = [
  ...[W, WP].flatMap((call) =>
    [
      { timeout_ms: 1_000 },
      { timeout_ms: 30_000 },
      { timeout_ms: 1e4 },
      { retry_schedule_seconds: [] },
      { retry_schedule_seconds: times(20, 0) },
      { events: times(100, 'payment.*') },
      { headers: numbered(20) },
      { description: '\u{1f4ef}'.repeat(500) },
      { metadata: { constructor: 'x' } },
      { filter: [] },
      { filter: times(10, { pointer: `/${'x'.repeat(255)}`, in: times(50, 'x'.repeat(256)) }) },
      { filter: [{ pointer: '/a~1b/0', equals: null }] },
      { success_statuses: [200, 299, 302, 304, 404, 409, 422, 429, 500, 503, 599] },
      { required_response: { success: true, '': null, constructor: 'x', code: 1e-9 } },
      { filter: null, success_statuses: null, required_response: null },
    ].map((fields) => ({ ...refused(call as CallName, fields, []), status: call === W ? 201 : 200 })),
  ),
  ...LISTS.flatMap((list) =>
    ['1', '200'].map((limit) => ({ ...row(`${list}?limit=${limit}`, 'limit', 'not_found'), status: 200 })),
  ),
  ...[WP, MP].map((call) => ({ ...row(call, 'an empty body', 'not_found'), status: 200 })),
];
