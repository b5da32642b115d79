/*
 * Input that the API refuses, against a real API, worker and receiver: a table of calls (bad-input-rows.ts), each of
 * which must get its status, code and paths in the one shape and change nothing in the database; then what no HTTP
 * client would send, over plain sockets. Nothing is doubled. Not asserted: the words of a refusal, beyond that they
 * tell nothing of the inside.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';
import { CALL_ABUSES } from './abuse-calls.js';
import { FIELD_ABUSES } from './abuse-fields.js';
import { TEXT_ABUSES } from './abuse-texts.js';
import { WIRE_ABUSES, type WireAbuse } from './abuse-wire.js';
import { ADMITTED, type Caller, dataOf, eventWith, nested, REFUSALS, type Row } from './bad-input-rows.js';
import { readError, refusalProblems, refusedPaths } from './error-shape.js';
import { StoredState } from './stored-state.js';
import { type Method, Wire, type WireAnswer } from './wire.js';

const METHODS: readonly Method[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];

let installation: Installation;
let receiver: Receiver;
let wire: Wire;
let state: StoredState;
let callers: Readonly<Record<Caller, string | null>>;
/** What `{name}` in a row stands for. */
let names: Readonly<Record<string, string>>;

beforeAll(async () => {
  const queue = hasRedis() ? 'redis' : 'postgres';
  [installation, receiver] = await Promise.all([startInstallation({ queue }), startReceiver()]);
  wire = new Wire(installation.client.url, installation.platformKey);
  state = new StoredState(installation.database.databaseUrl);
  await makeThings();
}, 60_000);

afterAll(async () => {
  await Promise.all([wire.close(), state.close()]);
  await installation.close();
  await receiver.close();
}, 30_000);

async function makeThings(): Promise<void> {
  const { client } = installation;
  const [merchant, otherMerchant, erasedMerchant] = await Promise.all(
    [1, 2, 3].map(() => client.newMerchant()),
  );
  const keyOf = async (merchantId: string, fields: object = {}): Promise<{ id: string; key: string }> => {
    const { body } = await client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'a key', ...fields });
    return body as { id: string; key: string };
  };
  const own = await keyOf(merchant as string);
  const reader = await keyOf(merchant as string, { scopes: ['webhooks:read'] });
  const other = await keyOf(otherMerchant as string);
  const revoked = await keyOf(merchant as string);
  const expired = await keyOf(merchant as string, { expires_at: new Date(Date.now() + 500).toISOString() });
  const erased = await keyOf(erasedMerchant as string);
  await client.delete(`/v1/merchants/${merchant}/api-keys/${revoked.id}`);
  await client.delete(`/v1/merchants/${erasedMerchant}`);
  // Its data goes by a job, which would change what is stored in the middle of a test.
  await eventually(async () => {
    expect((await client.get(`/v1/merchants/${erasedMerchant}`)).status).toBe(404);
  }, 30_000);
  const sender = await client.post('/v1/api-keys', { name: 'sends events', scopes: ['events:write'] });
  await eventually(async () => {
    expect((await client.withKey(expired.key).get('/v1/webhooks')).status).toBe(401);
  });

  const webhook = await client.newWebhook(merchant as string, receiver.url('/own'), {
    events: ['made.first'],
  });
  const otherWebhook = await client.newWebhook(otherMerchant as string, receiver.url('/other'), {
    events: ['made.first'],
  });
  const event = await client.sendEvent(merchant as string, { type: 'made.first' });
  await client.sendEvent(otherMerchant as string, { type: 'made.first' });
  const used = (name: string) => ({ 'idempotency-key': `used-for-${name}` });
  const url = receiver.url('/nobody');
  const answers = [
    await client.post('/v1/merchants', { name: 'of the key' }, used('merchant')),
    await client.post(
      '/v1/webhooks',
      { merchant_id: merchant, url, events: ['made.never'] },
      used('webhook'),
    ),
    await client.post(
      '/v1/events',
      { merchant_id: merchant, type: 'made.never', data: { a: 1 } },
      used('event'),
    ),
    await client.post('/v1/events', {
      merchant_id: merchant,
      type: 'made.first',
      id: 'used-id',
      data: { a: 1 },
    }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 202, 202]);
  await state.settledDigest();
  const first = async (path: string): Promise<{ row: { id: string; event_id: string }; cursor: string }> => {
    const { body } = await client.get<{ data: [{ id: string; event_id: string }]; next_cursor: string }>(
      path,
    );
    return { row: body.data[0], cursor: body.next_cursor };
  };
  const delivery = await first(`/v1/deliveries?merchant_id=${merchant}`);
  const otherDelivery = await first(`/v1/deliveries?merchant_id=${otherMerchant}`);
  const deliveriesCursor = (await first('/v1/deliveries?limit=1')).cursor;
  const merchantsCursor = (await first('/v1/merchants?limit=1')).cursor;

  const made = {
    merchant: merchant as string,
    otherMerchant: otherMerchant as string,
    webhook: webhook.id,
    otherWebhook: otherWebhook.id,
    delivery: delivery.row.id,
    otherDelivery: otherDelivery.row.id,
    event: event.id,
    keyOfMerchant: own.id,
    keyOfOther: other.id,
  };
  names = {
    ...made,
    MERCHANT: made.merchant.toUpperCase(),
    WEBHOOK: made.webhook.toUpperCase(),
    DELIVERY: made.delivery.toUpperCase(),
    merchantUuid: '01890a5d-ac96-774b-bcce-b302099a8057',
    url,
    deliveriesCursor,
    merchantsCursor,
    alteredCursor: altered(merchantsCursor),
    platformKey: installation.platformKey,
    PLATFORMKEY: installation.platformKey.toUpperCase(),
    wrongChecksum: altered(own.key),
  };
  callers = {
    platform: installation.platformKey,
    sender: String(sender.body['key']),
    merchant: own.key,
    reader: reader.key,
    other: other.key,
    revoked: revoked.key,
    expired: expired.key,
    erased: erased.key,
    nobody: null,
  };
}

/** With another last character. */
function altered(text: string): string {
  return text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
}

function filled(text: string): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => names[name] ?? whole);
}

function send({ method, path, by = 'platform', body, headers = {} }: Row): Promise<WireAnswer> {
  const isBytes = body === undefined || body instanceof Uint8Array;
  return wire.call({
    method,
    path: filled(path),
    key: callers[by],
    body: isBytes ? body : filled(typeof body === 'string' ? body : JSON.stringify(body)),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, filled(value)])),
  });
}

/** By topic: what is simply wrong, and what is meant to do harm. */
const TOPICS = { ...REFUSALS, ...FIELD_ABUSES, ...TEXT_ABUSES, ...CALL_ABUSES };

describe.each(Object.entries(TOPICS))('%s', (topic, rows) => {
  let before: Readonly<Record<string, string>>;
  let refusedCount = 0;
  beforeAll(async () => {
    before = await state.settledDigest();
  }, 30_000);
  afterAll(() => {
    process.stdout.write(`bad input: ${refusedCount} of ${rows.length} refused: ${topic}\n`);
  });

  test.each(rows.map((row): [string, Row] => [row.name.slice(0, 160), row]))('%s', async (_name, row) => {
    const answer = await send(row);
    expect({ status: answer.status, code: readError(answer.text)?.code, text: answer.text }).toMatchObject({
      status: row.status,
      code: row.code,
    });
    expect(refusalProblems(answer)).toEqual([]);
    if (row.paths !== undefined) expect(refusedPaths(answer)).toEqual(row.paths.map(filled));
    expect(await state.digest()).toEqual(before);
    expect(answer.headers['retry-after']).toBeUndefined();
    if (row.status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
    refusedCount += 1;
  });
});

describe('on the limits', () => {
  test.each(ADMITTED.map((row): [string, Row] => [row.name.slice(0, 160), row]))('%s', async (_name, row) => {
    const answer = await send(row);
    expect({ status: answer.status, text: answer.text }).toMatchObject({ status: row.status });
  });

  test('data of exactly 262,144 bytes, exactly 1,000 deep, and with names like __proto__, arrives', async () => {
    const merchantId = await installation.client.newMerchant();
    await installation.client.newWebhook(merchantId, receiver.url('/limits'), { payload_format: 'raw' });
    const datas = [
      dataOf(262_144),
      nested(1_000),
      '{"__proto__":{"admin":true},"constructor":1,"prototype":null,"a":1,"\\u0061":2,"a":3}',
      '{ "amount" : 1.10 , "big":1e400,"id":9007199254740993,"lone":"\\ud800"}',
    ];
    for (const data of datas) {
      const body = eventWith(data).replace('{merchant}', merchantId);
      expect(await wire.call({ method: 'POST', path: '/v1/events', body })).toMatchObject({ status: 202 });
    }
    const received = (): string[] =>
      receiver.requests.filter(({ path }) => path === '/limits').map(({ body }) => body.toString());
    await eventually(() => {
      expect(received()).toHaveLength(datas.length);
    });
    expect(new Set(received())).toEqual(new Set(datas));
  });
});

describe('methods', () => {
  test('a method that a path does not take is 405 and names those that it does', async () => {
    const document = JSON.parse((await wire.call({ method: 'GET', path: '/openapi.json' })).text) as {
      paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    };
    const before = await state.settledDigest();
    const templates = Object.entries(document.paths).map(([path, operations]) => {
      const methods = Object.keys(operations).map((method) => method.toUpperCase());
      return {
        path: path.replace(/\{\w+\}/g, 'x'),
        pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
        methods: methods.includes('GET') ? [...methods, 'HEAD'] : methods,
      };
    });
    // A path may be an instance of another one as well, as /v1/events/batch is of /v1/events/{id}.
    const takes = templates.map(({ path }): [string, string[]] => {
      const methods = templates
        .filter(({ pattern }) => pattern.test(path))
        .flatMap((template) => template.methods);
      return [path, [...new Set(methods)].sort()];
    });
    takes.push(
      ['/deliveries', ['GET', 'HEAD']],
      ['/docs', ['GET', 'HEAD']],
      ['/openapi.json', ['GET', 'HEAD']],
    );
    expect(takes.length).toBeGreaterThan(15);
    const problems: string[] = [];
    for (const [path, methods] of takes) {
      for (const method of METHODS.filter((candidate) => !methods.includes(candidate))) {
        const answer = await wire.call({ method, path, body: method === 'POST' ? '{' : undefined });
        const { allow } = answer.headers;
        const found = method === 'HEAD' ? [] : refusalProblems(answer);
        if (answer.status !== 405) found.push(`answered ${answer.status}`);
        if (allow !== methods.join(', ')) found.push(`allows ${String(allow)}`);
        problems.push(...found.map((problem) => `${method} ${path}: ${problem}`));
      }
    }
    expect(problems).toEqual([]);
    expect(await state.digest()).toEqual(before);
  });

  test.each([
    ['/v1/merchants', 'platform', 200],
    ['/v1/merchants', 'nobody', 401],
    ['/v1/merchants', 'merchant', 403],
    ['/v1/merchants/x', 'platform', 404],
    ['/nothing', 'platform', 404],
    ['/v1/merchants?limit=0', 'platform', 422],
  ] as const)('HEAD %s by %s is %i, without a body', async (path, by, status) => {
    const answer = await wire.call({ method: 'HEAD', path, key: callers[by] });
    expect(answer).toMatchObject({ status, text: '' });
    expect(answer.headers['x-request-id']).toMatch(/^req_/);
  });
});

describe('what no client would send', () => {
  const head = (...lines: readonly string[]): string =>
    [
      'POST /v1/merchants HTTP/1.1',
      'Host: x',
      `Authorization: Bearer ${installation.platformKey}`,
      'Content-Type: application/json',
      ...lines,
      '',
      '',
    ].join('\r\n');
  const body = '{"name":"sent by hand"}';
  const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const tooLarge = ' '.repeat(512 * 1024 + 1);

  test.each<[string, () => string, 'wait' | 'end', number]>([
    ['no Host', () => 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 'wait', 400],
    [
      'two Hosts',
      () => 'GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n',
      'wait',
      400,
    ],
    ['an unknown method', () => 'BREW /v1/merchants HTTP/1.1\r\nHost: x\r\n\r\n', 'wait', 400],
    ['not HTTP', () => '\x16\x03\x01\x02\0\x01', 'wait', 400],
    ['a header without a colon', () => head('nonsense'), 'wait', 400],
    ['a NUL in a header', () => head('X: a\0b'), 'wait', 400],
    ['a blank before the colon', () => head('X : a'), 'wait', 400],
    ['headers of 20 KB', () => head(`X: ${'x'.repeat(20_000)}`), 'wait', 431],
    ['a path of 20 KB', () => `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 'wait', 431],
    ['a negative length', () => `${head('Content-Length: -1')}${body}`, 'wait', 400],
    ['a length in hexadecimal', () => `${head('Content-Length: 0x10')}${body}`, 'wait', 400],
    ['two lengths', () => `${head('Content-Length: 5', 'Content-Length: 6')}${body}`, 'wait', 400],
    [
      'a length and chunks',
      () => `${head('Content-Length: 5', 'Transfer-Encoding: chunked')}${chunk(body)}0\r\n\r\n`,
      'wait',
      400,
    ],
    ['an unknown transfer coding', () => `${head('Transfer-Encoding: rot13')}${body}`, 'wait', 400],
    [
      'a length that is too long',
      () => `${head('Content-Length: 500', 'Connection: close')}${body}`,
      'end',
      400,
    ],
    [
      'a length that is too short',
      () => `${head('Content-Length: 5', 'Connection: close')}${body}`,
      'wait',
      400,
    ],
    ['a length past the limit', () => head('Content-Length: 524289', 'Connection: close'), 'wait', 413],
    [
      'chunks past the limit',
      () => `${head('Transfer-Encoding: chunked', 'Connection: close')}${chunk(tooLarge)}0\r\n\r\n`,
      'wait',
      413,
    ],
    [
      'chunks past the limit, without a key',
      () =>
        `${head('Transfer-Encoding: chunked', 'Connection: close').replace(/Authorization.*\r\n/, '')}${chunk(tooLarge)}0\r\n\r\n`,
      'wait',
      413,
    ],
    ['a chunk of no size', () => `${head('Transfer-Encoding: chunked')}xyz\r\n${body}`, 'wait', 400],
    [
      'a chunk that lies about its size',
      () => `${head('Transfer-Encoding: chunked')}5\r\n${body}\r\n0\r\n\r\n`,
      'wait',
      400,
    ],
    ['chunks without an end', () => `${head('Transfer-Encoding: chunked')}${chunk(body)}`, 'end', 400],
    [
      'a body without a content type',
      () =>
        `${head(`Content-Length: ${body.length}`, 'Connection: close').replace(/Content-Type.*\r\n/, '')}${body}`,
      'wait',
      415,
    ],
    [
      'an asterisk for a path',
      () => 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      'wait',
      404,
    ],
    [
      'bytes past ASCII in a path',
      () => 'GET /v1/\u00ff\u00fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      'wait',
      400,
    ],
  ])(
    '%s',
    async (_name, bytes, then, status) => {
      const before = await state.settledDigest();
      const answer = await wire.exchange(Buffer.from(bytes(), 'latin1'), then);
      expect({ status: answer.status, text: answer.text }).toMatchObject({ status });
      expect(refusalProblems(answer)).toEqual([]);
      expect(await state.digest()).toEqual(before);
    },
    20_000,
  );

  test('a body past the limit is answered however much of it is still to come, and the connection stays usable', async () => {
    const call = { method: 'POST', path: '/v1/events', body: ' '.repeat(4_000_000) } as const;
    for (let round = 0; round < 10; round += 1) {
      const answer = await wire.call(call);
      expect(answer.status).toBe(413);
      expect(answer.headers['connection']).not.toBe('close');
    }
  });

  test('what is accepted over the same socket', async () => {
    const answer = await wire.exchange(
      `${head(`Content-Length: ${body.length}`, 'Connection: close')}${body}`,
    );
    expect(answer.status).toBe(201);
    const chunked = await wire.exchange(
      `${head('Transfer-Encoding: chunked', 'Connection: close')}${Array.from(body, chunk).join('')}0\r\n\r\n`,
    );
    expect(chunked.status).toBe(201);
    const expecting = head('Expect: a miracle', `Content-Length: ${body.length}`, 'Connection: close');
    expect((await wire.exchange(`${expecting}${body}`)).status).toBe(201);
    expect((await wire.exchange('GET /healthz HTTP/1.0\r\n\r\n')).status).toBe(200);
  });
});

describe('what two servers would read differently', () => {
  let refusedCount = 0;
  afterAll(() => {
    process.stdout.write(`bad input: ${refusedCount} of ${WIRE_ABUSES.length} refused: on the wire\n`);
  });

  test.each(WIRE_ABUSES.map((abuse): [string, WireAbuse] => [abuse.name, abuse]))(
    '%s',
    async (_name, { bytes, then = 'wait', statuses }) => {
      const before = await state.settledDigest();
      const answer = await wire.exchange(Buffer.from(filled(bytes), 'latin1'), then);
      expect(statuses).toContain(answer.status);
      expect(refusalProblems(answer)).toEqual([]);
      expect(await state.digest()).toEqual(before);
      refusedCount += 1;
    },
    20_000,
  );
});

test('the processes are the same, and none has met anything that it did not expect', async () => {
  expect(await wire.call({ method: 'GET', path: '/healthz', key: null })).toMatchObject({ status: 200 });
  const processes = [...installation.apis, ...installation.workers];
  expect(processes.map(({ child }) => child.exitCode)).toEqual([null, null]);
  expect(processes.flatMap(({ lines }) => lines).filter((line) => /"level":[56]0/.test(line))).toEqual([]);
});
