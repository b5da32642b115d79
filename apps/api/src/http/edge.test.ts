/*
 * The edge in front of every call, tried on POST /v1/merchants (admin) and its neighbours: the order of the checks, the
 * one error shape, the one parse of a body. Real: PostgreSQL, Fastify, and sockets where a client's fault cannot be
 * expressed by inject. Doubled: the queue, which no call here uses. Not here: what each resource answers.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase } from '#adapters/postgres/database.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import { BODY_BYTES_MAX } from './body.js';
import type { ErrorBody } from './error-answer.js';

let db: TestDatabase;
let api: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };
let address: { readonly host: string; readonly port: number };

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  merchant = await api.merchant();
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const { hostname, port } = new URL(await api.app.getUrl());
  address = { host: hostname, port: Number(port) };
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

/** Everything is wrong with it; each right thing lets the next check speak. */
const TOO_LARGE = `{"name":"${'x'.repeat(BODY_BYTES_MAX)}"`;

describe('order of checks', () => {
  const path = (): string => `/v1/merchants/${merchant.id}`;
  const unknown = '/v1/merchants/mrc_00000000000000000000000000';

  test('413 before 401, 401 before all that tells anything', async () => {
    const headers = { 'content-type': 'not a content type' };
    expect(await api.call(`PATCH ${unknown}`, { key: null, headers, body: TOO_LARGE })).toMatchObject({
      status: 413,
    });
    expect(await api.call(`PATCH ${unknown}`, { key: null, headers, body: '{' })).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated' },
      headers: { 'www-authenticate': 'Bearer' },
    });
  });

  test('403, 404, 415, 400, 422', async () => {
    const headers = { 'content-type': 'text/plain' };
    const statuses = [
      await api.call(`PATCH ${unknown}`, { key: merchant.key, headers, body: '{' }),
      await api.call(`PATCH ${unknown}`, { headers, body: '{' }),
      await api.call(`PATCH ${path()}`, { headers, body: '{' }),
      await api.call(`PATCH ${path()}`, { body: '{' }),
      await api.call(`PATCH ${path()}`, { body: '{"nam":1}' }),
      await api.call(`PATCH ${path()}`, { body: '{"name":"Right"}' }),
    ].map(({ status }) => status);
    expect(statuses).toEqual([403, 404, 415, 400, 422, 200]);
  });

  test.each([
    'x',
    'mrc_',
    'mrc_zzzzzzzzzzzzzzzzzzzzzzzzzz',
    'wh_00000000000000000000000000',
    '%20',
    'x'.repeat(3_000),
  ])('the malformed id %s is 404', async (id) => {
    expect(await api.call(`GET /v1/merchants/${id}`)).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
  });
});

describe('authentication', () => {
  const authorize = (authorization: string): Promise<{ status: number }> =>
    api.call('GET /v1/merchants', { key: null, headers: { authorization } });

  test('the scheme in any case', async () => {
    expect(await authorize(`bearer ${api.platformKey}`)).toMatchObject({ status: 200 });
    expect(await authorize(`BEARER  ${api.platformKey}`)).toMatchObject({ status: 200 });
  });

  test.each([
    '',
    'Bearer',
    'Bearer ',
    'Basic eDp5',
    'Bearer x',
    `Bearer ${'x'.repeat(40)}`,
    'Bearer phk_\u00e9',
  ])('refuses %j', async (authorization) => {
    expect(await authorize(authorization)).toMatchObject({ status: 401 });
  });

  test('refuses a key with one character changed, and another with its own added', async () => {
    const last = api.platformKey.endsWith('0') ? '1' : '0';
    expect(await authorize(`Bearer ${api.platformKey.slice(0, -1)}${last}`)).toMatchObject({ status: 401 });
    expect(await authorize(`Bearer ${api.platformKey}0`)).toMatchObject({ status: 401 });
  });
});

describe('bodies', () => {
  const post = (
    body: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: ErrorBody }> => api.call('POST /v1/merchants', { body, headers });

  test.each([
    ['application/json', 201],
    ['application/json; charset=utf-8', 201],
    ['APPLICATION/JSON ;Charset="UTF-8"', 201],
    ['application/json; charset=iso-8859-1', 415],
    ['application/problem+json', 415],
    ['text/plain', 415],
    ['application/x-www-form-urlencoded', 415],
    ['multipart/form-data; boundary=x', 415],
    ['garbage', 415],
    [';;;', 415],
  ])('content type %s: %i', async (contentType, status) => {
    expect(await post('{"name":"A"}', { 'content-type': contentType })).toMatchObject({ status });
  });

  test('a body without a content type is 415', async () => {
    const answer = await overSocket(
      `POST /v1/merchants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.platformKey}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
    );
    expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
  });

  test('an empty body is {} and needs no content type', async () => {
    expect(await api.call(`PATCH /v1/merchants/${merchant.id}`)).toMatchObject({ status: 200 });
    expect(await api.call('POST /v1/merchants')).toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'name' }] } },
    });
  });

  test.each<[string, string | Buffer]>([
    ['nothing but blanks', ' '],
    ['cut short', '{"name":"A"'],
    ['two documents', '{"name":"A"}{}'],
    ['a byte-order mark', '\ufeff{"name":"A"}'],
    ['invalid UTF-8', Buffer.from('{"name":"\xff"}', 'latin1')],
    ['UTF-16', Buffer.from('{"name":"A"}', 'utf16le')],
    ['a trailing comma', '{"name":"A",}'],
  ])('%s is 400', async (_, body) => {
    expect(await post(body)).toMatchObject({ status: 400, body: { code: 'malformed_json', data: null } });
  });

  test.each([
    ['[]', ''],
    ['null', ''],
    ['"name"', ''],
    ['{"name":"A","name":"B"}', 'name'],
    ['{"name":"A","n\\u0061me":"B"}', 'name'],
    ['{"name":"A","__proto__":{"admin":true}}', '__proto__'],
    ['{"name":"A","constructor":{"prototype":{"admin":true}}}', 'constructor'],
    ['{"name":"A","toString":1}', 'toString'],
    ['{"name":"A","metadata":{"__proto__":"x"}}', 'metadata.__proto__'],
    ['{"name":"A","metadata":{"a":1}}', 'metadata.a'],
    ['{"name":"A","metadata":[]}', 'metadata'],
    ['{"name":"nul \\u0000"}', 'name'],
    ['{"name":"lone \\ud800"}', 'name'],
    ['{"name":" "}', null],
    [`{"name":"${'x'.repeat(201)}"}`, 'name'],
    [`{"name":"${'\u{1f4ef}'.repeat(200)}"}`, null],
    [`{"name":"${'\u{1f4ef}'.repeat(201)}"}`, 'name'],
  ])('%.60s', async (body, path) => {
    const answer = await post(body);
    if (path === null) {
      expect(answer.status).toBe(201);
    } else {
      expect(answer).toMatchObject({
        status: 422,
        body: { code: 'invalid_request', data: { errors: [{ path }] } },
      });
    }
    expect(Object.prototype).not.toHaveProperty('admin');
  });

  test('every problem is named at once', async () => {
    expect((await post('{"name":"","dialect":"morse","a":1,"b":2}')).body).toMatchObject({
      data: { errors: [{ path: 'name' }, { path: 'dialect' }, { path: 'a' }, { path: 'b' }] },
    });
  });

  test('exactly as large as allowed is not 413', async () => {
    const filled = `{"name":"${'x'.repeat(BODY_BYTES_MAX - 11)}"}`;
    expect(Buffer.byteLength(filled)).toBe(BODY_BYTES_MAX);
    expect(await post(filled)).toMatchObject({ status: 422 });
    expect(await post(`${filled} `)).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
  });

  test('a body that lies about its length is refused and its connection closed', async () => {
    const head = `POST /v1/merchants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer ${api.platformKey}\r\n`;
    expect(
      await overSocket(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk(TOO_LARGE)}0\r\n\r\n`),
    ).toMatchObject({
      status: 413,
      body: { code: 'payload_too_large' },
    });
  });
});

describe('one shape for every error', () => {
  test.each([
    ['GET /nothing', 404, 'not_found'],
    ['GET /v1/merchants/', 404, 'not_found'],
    ['GET /v1/%zz', 404, 'not_found'],
    ['GET /v1/merchants/%00', 404, 'not_found'],
    ['PUT /v1/merchants', 405, 'method_not_allowed'],
    ['DELETE /healthz', 405, 'method_not_allowed'],
    ['OPTIONS /v1/merchants', 405, 'method_not_allowed'],
    ['GET /docs/nothing.js', 404, 'not_found'],
    ['GET /docs/__proto__', 404, 'not_found'],
    ['GET /v1/merchants?limit=0', 422, 'invalid_request'],
    ['GET /v1/merchants?limit=50&limit=50', 422, 'invalid_request'],
    ['GET /v1/merchants?limt=5', 422, 'invalid_request'],
    ['GET /v1/merchants?cursor=x', 422, 'invalid_request'],
  ])('%s: %i', async (target, status, code) => {
    const answer = await api.call(target);
    expect(answer).toMatchObject({ status, body: { status, code } });
    expect(Object.keys(answer.body)).toEqual(['status', 'code', 'message', 'data', 'request_id']);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.body.request_id).toMatch(/^req_[0-7][0-9a-z]{25}$/);
    expect(answer.headers['x-request-id']).toBe(answer.body.request_id);
  });

  test('405 says what the path takes', async () => {
    expect((await api.call('PUT /v1/merchants')).headers['allow']).toBe('GET, HEAD, POST');
    expect((await api.call('POST /v1/merchants/x')).headers['allow']).toBe('DELETE, GET, HEAD, PATCH');
  });

  test('the request id is ours, on success too', async () => {
    const { headers } = await api.call('GET /healthz', { headers: { 'x-request-id': 'mine' } });
    expect(headers['x-request-id']).toMatch(/^req_/);
  });

  test.each([
    ['not HTTP', 'hello\r\n\r\n', 400],
    ['an unknown method', 'BREW /v1/merchants HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['headers past 16 KiB', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s', async (_, bytes, status) => {
    const answer = await overSocket(bytes);
    expect(answer).toMatchObject({ status, body: { status, code: 'invalid_request', data: null } });
    expect(answer.headers).toContain(`X-Request-Id: ${answer.body.request_id}`);
  });
});

describe('our own trouble', () => {
  test('503 with Retry-After while the database is away', async () => {
    const gone = connectDatabase('postgres://posthorn@127.0.0.1:1/posthorn', 2);
    const other = await startApi({
      databaseUrl: db.databaseUrl,
      platformKey: api.platformKey,
      overrides: { database: gone },
    });
    const answer = await other.call('GET /v1/merchants');
    expect(answer).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
      body: { code: 'unavailable', data: null },
    });
    expect(JSON.stringify(answer.body)).not.toContain('127.0.0.1');
    await other.close();
    await gone.$disconnect();
  });

  test('a restart of PostgreSQL costs 503s at most, and nothing needs a person after it', async () => {
    await api.call('GET /v1/merchants');
    await api.database.$executeRaw`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    const during = await Promise.all(Array.from({ length: 8 }, () => api.call('GET /v1/merchants')));
    for (const { status } of during) expect([200, 503]).toContain(status);
    expect(await api.call('GET /v1/merchants')).toMatchObject({ status: 200 });
  });

  test('500 tells nothing, and the log tells all under the same request id', async () => {
    const lines: string[] = [];
    const broken = await startApi({
      databaseUrl: db.databaseUrl,
      platformKey: api.platformKey,
      logTo: { write: (line: string) => void lines.push(line) },
      overrides: {
        secretBox: {
          seal: () => {
            throw new Error('the box is jammed');
          },
          open: () => new Uint8Array(),
        },
      },
    });
    const answer = await broken.call('POST /v1/merchants', {
      body: { name: 'secret body' },
      headers: { 'idempotency-key': 'jam' },
    });
    expect(answer).toMatchObject({ status: 500, body: { code: 'internal_error', data: null } });
    expect(JSON.stringify(answer)).not.toMatch(/jammed|\.ts/);
    await broken.close();

    const log = lines.join('');
    const failure = lines.find((line) => line.includes('the box is jammed'));
    expect(JSON.parse(failure ?? '{}')).toMatchObject({ request_id: answer.body.request_id, level: 50 });
    expect(log).toContain('"path":"/v1/merchants"');
    expect(log).not.toContain('secret body');
    expect(log).not.toContain(api.platformKey);
    expect(await api.database.merchant.count({ where: { name: 'secret body' } })).toBe(0);
  });
});

test('closing finishes what is under way and waits for no idle connection', async () => {
  const closing = await startApi({ databaseUrl: db.databaseUrl, platformKey: api.platformKey });
  await closing.app.listen({ host: '127.0.0.1', port: 0 });
  const target = { host: '127.0.0.1', port: Number(new URL(await closing.app.getUrl()).port) };
  const [idle, busy] = [connect(target), connect(target)];
  idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(idle, 'data');
  const body = '{"name":"Last"}';
  busy.write(
    `POST /v1/merchants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.platformKey}\r\nContent-Type: application/json\r\n` +
      `Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  // The server has read the head and asks for the body: the request is under way.
  await once(busy, 'data');

  const closed = closing.close();
  await once(idle.resume(), 'close');
  busy.write(body);
  const answer = await text(busy);
  expect(answer).toMatch(/^HTTP\/1\.1 201 Created\r\n/);
  expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
  await closed;
});

function chunk(body: string): string {
  return `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`;
}

/** Writes bytes to the listening server and reads what it answers until it closes the connection. */
async function overSocket(bytes: string): Promise<{ status: number; headers: string; body: ErrorBody }> {
  const socket = connect(address);
  await once(socket, 'connect');
  // The server may close before it has read everything: what it said before counts.
  socket.on('error', () => undefined);
  socket.write(bytes);
  const answer = await text(socket);
  const [head = '', body = ''] = answer.split('\r\n\r\n', 2);
  return {
    status: Number(head.split(' ')[1]),
    headers: head,
    body: JSON.parse(body) as ErrorBody,
  };
}
