/*
 * How the server holds out against clients that are slow, that say too much, or that are browsers led here by somebody
 * else. Real: the server, sockets, PostgreSQL. The limits of time are milliseconds here; that the ones in force are those
 * of server-limits.ts is asked of a server that has them.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import type { ErrorBody } from './error-answer.js';
import { HEADERS_MAX, SERVER_LIMITS } from './server-limits.js';

const QUICK = {
  headersTimeoutMs: 300,
  requestTimeoutMs: 600,
  silenceTimeoutMs: 1_500,
  keepAliveTimeoutMs: 300,
  timeoutCheckMs: 50,
};
/** A byte of a drip; many of them fit into a limit. */
const DRIP_MS = 40;

let db: TestDatabase;
let api: ApiUnderTest;
let quick: ApiUnderTest;
let target: { readonly host: string; readonly port: number };

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
  quick = await startApi({
    databaseUrl: db.databaseUrl,
    platformKey: api.platformKey,
    overrides: { serverLimits: QUICK },
  });
  await quick.app.listen({ host: '127.0.0.1', port: 0 });
  const { hostname, port } = new URL(await quick.app.getUrl());
  target = { host: hostname, port: Number(port) };
}, 60_000);

afterAll(async () => {
  await quick.close();
  await api.close();
  await db.drop();
});

const HEAD = 'POST /v1/merchants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

async function open(): Promise<Socket> {
  const socket = connect(target);
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  return socket;
}

/** Writes a byte now and then until the server has had enough; resolves with what it said. */
async function drip(start: string, bytes: string): Promise<string> {
  const socket = await open();
  socket.write(start);
  let at = 0;
  const dripping = setInterval(() => {
    socket.write(bytes.charAt(at++ % bytes.length));
  }, DRIP_MS);
  const said: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => said.push(chunk));
  // Not once(), which an error in between would reject: a reset is an end as well.
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(dripping);
  return Buffer.concat(said).toString();
}

function statusAndBody(answer: string): { status: number; body: ErrorBody } {
  const [head = '', body = '{}'] = answer.split('\r\n\r\n', 2);
  return { status: Number(head.split(' ')[1]), body: JSON.parse(body) as ErrorBody };
}

describe('slow clients', () => {
  const timedOut = { status: 408, body: { status: 408, code: 'invalid_request', data: null } };

  test('headers that drip are cut off', async () => {
    const startedMs = performance.now();
    expect(statusAndBody(await drip(`${HEAD}X-Slow: `, 'x'))).toMatchObject(timedOut);
    expect(performance.now() - startedMs).toBeLessThan(10 * QUICK.headersTimeoutMs);
  });

  test('a body that drips is cut off', async () => {
    expect(statusAndBody(await drip(`${HEAD}Content-Length: 100000\r\n\r\n{`, ' '))).toMatchObject(timedOut);
  });

  test('chunks that drip are cut off', async () => {
    const start = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
    expect(statusAndBody(await drip(start, '1\r\n \r\n'))).toMatchObject(timedOut);
  });

  test('a body that is announced and never comes', async () => {
    const socket = await open();
    socket.write(`${HEAD}Content-Length: 10\r\n\r\n`);
    expect(statusAndBody(await text(socket))).toMatchObject(timedOut);
  });

  test('a connection that says nothing is closed', async () => {
    const socket = await open();
    await text(socket);
    expect(socket.destroyed || socket.readableEnded).toBe(true);
  });

  test('a connection that has had its answer and stays is closed', async () => {
    const socket = await open();
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('a client that takes no answer is hung up on', async () => {
    const socket = await open();
    socket.pause();
    // More answers than fit between the two, none of which it reads.
    const request = 'GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n';
    socket.write(request.repeat(400));
    await eventually(async () => {
      expect(await connections()).toBe(1);
    });
    await eventually(async () => {
      expect(await connections()).toBe(0);
    });
    socket.destroy();
  });

  test('a hundred of them leave it alive, and go', async () => {
    const start = `${HEAD}X: `;
    const all = Promise.all(Array.from({ length: 100 }, () => drip(start, 'x')));
    const answer = await quick.call('GET /healthz', { key: null });
    expect(answer.status).toBe(200);
    // A byte that comes after the end resets the connection, and the answer may go with it.
    const answers = (await all).filter((said) => said !== '');
    expect(new Set(answers.map((said) => statusAndBody(said).status))).toEqual(new Set([408]));
    expect(answers.length).toBeGreaterThan(50);
  });

  function connections(): Promise<number> {
    return new Promise((resolve) => {
      quick.app.getHttpServer().getConnections((_: unknown, count: number) => {
        resolve(count);
      });
    });
  }
});

test('the limits in force are those that are written down', () => {
  const { headersTimeout, requestTimeout, keepAliveTimeout, timeout } = api.app.getHttpServer() as {
    headersTimeout: number;
    requestTimeout: number;
    keepAliveTimeout: number;
    timeout: number;
  };
  expect({ headersTimeout, requestTimeout, keepAliveTimeout, timeout }).toEqual({
    headersTimeout: SERVER_LIMITS.headersTimeoutMs,
    requestTimeout: SERVER_LIMITS.requestTimeoutMs,
    keepAliveTimeout: SERVER_LIMITS.keepAliveTimeoutMs,
    timeout: SERVER_LIMITS.silenceTimeoutMs,
  });
});

describe('headers', () => {
  const numbered = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, 'v']));

  test('as many as are allowed, and one more', async () => {
    const own = 4;
    expect(await api.call('GET /v1/merchants', { headers: numbered(HEADERS_MAX - own) })).toMatchObject({
      status: 200,
    });
    expect(await api.call('GET /v1/merchants', { headers: numbered(HEADERS_MAX) })).toMatchObject({
      status: 431,
      body: { code: 'invalid_request', data: null },
    });
  });

  test.each([
    ['GET /v1/merchants', 200],
    ['GET /v1/merchants?limit=0', 422],
    ['GET /nothing', 404],
    ['GET /v1/%zz', 404],
    ['PUT /v1/merchants', 405],
    ['GET /healthz', 200],
    ['GET /metrics', 200],
    ['GET /openapi.json', 200],
    ['GET /docs', 200],
    ['GET /docs/swagger-ui.css', 200],
    ['OPTIONS /v1/merchants', 405],
  ])('%s tells browsers to do nothing with it', async (call, status) => {
    const origin = { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' };
    const { headers, ...answer } = await api.call(call, { headers: { ...origin, accept: 'text/html' } });
    expect(answer.status).toBe(status);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      'strict-transport-security': 'max-age=31536000',
    });
    expect(headers['content-security-policy']).toMatch(/^default-src 'none';.* frame-ancestors 'none'$/);
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(headers['cache-control']).toBe(call.includes('.css') ? 'public, max-age=3600' : 'no-store');
    const told = Object.keys(headers).filter((name) =>
      /^(?:access-control|server|x-powered-by|via)/.test(name),
    );
    expect(told).toEqual([]);
  });

  test('what the parser refuses says the same', async () => {
    const socket = await open();
    socket.write('no HTTP\r\n\r\n');
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('\r\nx-content-type-options: nosniff\r\n');
    expect(answer).toContain('\r\ncache-control: no-store\r\n');
  });

  test('the only page holds nothing that a client wrote, and nothing that runs in it', async () => {
    const { body, headers } = await api.call<string>('GET /docs?x=<script>alert(1)</script>', {
      headers: { referer: '<script>', 'user-agent': '<script>' },
    });
    expect(body).toBe((await api.call<string>('GET /docs')).body);
    expect(body).not.toMatch(/<script>|<style|\son\w+=|javascript:/);
    expect(headers['content-security-policy']).toContain("script-src 'self';");
  });
});

describe('a compressed body is not opened', () => {
  test.each([
    ['gzip', 415],
    ['GZIP', 415],
    ['deflate', 415],
    ['br', 415],
    ['identity, gzip', 415],
    ['x', 415],
    ['identity', 201],
    ['Identity', 201],
  ])('content-encoding %s: %i', async (encoding, status) => {
    const answer = await api.call('POST /v1/merchants', {
      body: '{"name":"A"}',
      headers: { 'content-encoding': encoding },
    });
    expect(answer).toMatchObject({ status });
  });
});
