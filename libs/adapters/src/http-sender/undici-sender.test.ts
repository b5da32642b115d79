import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import * as behaviour from '#testkit/receiver/behaviour.js';
import { startReceiver, type Receiver } from '#testkit/receiver/receiver.js';
import { TEST_CERTIFICATE } from '#testkit/receiver/test-certificate.js';
import { REFUSED_HEADER_NAMES, REFUSED_HEADER_VALUES } from './hostile-fixtures.js';
import { inShort, SenderHarness, type HarnessOptions } from './sender-harness.js';

/*
 * Doubled: nothing but the resolver, where a test needs a name. Observed: what a real receiver recorded, and what
 * `send` returned. Deadlines and address checks have files of their own. Not asserted: undici's `connection` header.
 */

let receiver: Receiver;
let harness: SenderHarness;
const harnesses: SenderHarness[] = [];

function openHarness(options: HarnessOptions = {}): SenderHarness {
  const opened = new SenderHarness(options);
  harnesses.push(opened);
  return opened;
}

beforeEach(async () => {
  receiver = await startReceiver();
  harness = openHarness();
});

afterEach(async () => {
  await Promise.all(harnesses.splice(0).map(({ sender }) => sender.close()));
  // A closed sender has no socket left; the receiver may hear of it a moment later.
  await receiver.waitForNoSockets(1_000);
  await receiver.close();
});

describe('the request', () => {
  test('is a POST of exactly these bytes to path and query', async () => {
    const body = Uint8Array.from([0x7b, 0x00, 0xff, 0x0d, 0x0a, 0x7d]);
    expect(inShort(await harness.send(receiver.url('/hooks/%7Ea?x=1&y=%20#part'), { body }))).toBe(
      'response 200',
    );
    const [request] = await receiver.waitFor(1, 1_000);
    expect(request?.method).toBe('POST');
    expect(request?.path).toBe('/hooks/%7Ea?x=1&y=%20');
    expect(request?.body).toEqual(Buffer.from(body));
  });

  test('keeps the case and order of headers, and adds host and content-length only', async () => {
    const headers = [
      ['X-Posthorn-Event-Id', 'evt_1'],
      ['content-type', 'application/json'],
      ['x-Mixed-CASE', 'caf\u00e9'],
      ['X-Posthorn-Event-Id', 'again'],
    ] as const;
    await harness.send(receiver.url('/'), { headers });
    const [request] = await receiver.waitFor(1, 1_000);
    const raw = request?.rawHeaders ?? [];
    const pairs = raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1]]] : []));
    expect(pairs.filter(([name]) => name !== 'connection')).toEqual([
      ['host', `127.0.0.1:${String(receiver.port)}`],
      ...headers,
      ['content-length', '14'],
    ]);
  });

  test('can have an empty body', async () => {
    await harness.send(receiver.url('/'), { body: new Uint8Array(0) });
    const [request] = await receiver.waitFor(1, 1_000);
    expect(request?.headers['content-length']).toBe('0');
    expect(request?.body).toHaveLength(0);
  });

  test.each([
    ...REFUSED_HEADER_NAMES.map((name) => [name, '1'] as const),
    ...REFUSED_HEADER_VALUES.map((value) => ['x-a', value] as const),
  ])(
    'with a header %j: %j is a mistake of the caller, not a result, and connects to nobody',
    async (...header) => {
      const headers = [['x-before', '1'], header, ['x-after', '1']] as const;
      await expect(harness.send(receiver.url('/'), { headers })).rejects.toThrow(TypeError);
      expect(harness.sockets).toEqual([]);
    },
  );

  test('says once that it is being sent, and not before', async () => {
    const onSent = jest.fn();
    expect(inShort(await harness.send('http://127.0.0.1:1/', { onSent }))).toBe(
      'connection_error econnrefused',
    );
    expect(onSent).not.toHaveBeenCalled();
    await harness.send(receiver.url('/'), { onSent });
    expect(onSent).toHaveBeenCalledTimes(1);
  });
});

describe('the response', () => {
  test('comes back with status, headers, body, time and peer', async () => {
    receiver.on(
      '*',
      behaviour.respond(202, { headers: { 'X-Two': ['a', 'b'], 'X-Up': 'Yes' }, body: 'thanks' }),
    );
    const result = await harness.send(receiver.url('/'));
    expect(result).toMatchObject({
      kind: 'response',
      statusCode: 202,
      bodyTruncated: false,
      remoteAddress: '127.0.0.1',
    });
    if (result.kind !== 'response') return;
    expect(Buffer.from(result.body).toString()).toBe('thanks');
    expect(result.headers).toEqual(
      expect.arrayContaining([
        ['x-two', 'a'],
        ['x-two', 'b'],
        ['x-up', 'Yes'],
      ]),
    );
    expect(result.durationMs).toBeGreaterThan(0);
    expect(result.durationMs).toBeLessThan(1_000);
  });

  test.each([204, 304, 400, 410, 429, 500, 503])('may have the status %i', async (statusCode) => {
    receiver.on('*', behaviour.respond(statusCode));
    expect(inShort(await harness.send(receiver.url('/')))).toBe(`response ${String(statusCode)}`);
  });

  test.each([300, 301, 302, 303, 305, 307, 308])('is not followed when it is a %i', async (statusCode) => {
    receiver.on('/', behaviour.respond(statusCode, { headers: { location: receiver.url('/elsewhere') } }));
    expect(inShort(await harness.send(receiver.url('/')))).toBe(`response ${String(statusCode)}`);
    expect(receiver.requests.map(({ path }) => path)).toEqual(['/']);
  });

  test('may come after interim ones', async () => {
    receiver.on(
      '*',
      behaviour.raw('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n'),
    );
    const result = await harness.send(receiver.url('/'));
    expect(inShort(result)).toBe('response 204');
    expect(result).toMatchObject({ headers: [] });
  });

  test.each([
    [16_383, 16_383, false],
    [16_384, 16_384, false],
    [16_385, 16_384, true],
    [1_000_000, 16_384, true],
  ])('of %i bytes keeps %i of them', async (bytes, keptBytes, bodyTruncated) => {
    receiver.on('*', behaviour.respond(200, { body: Buffer.alloc(bytes, 'x') }));
    const result = await harness.send(receiver.url('/'));
    expect(result).toMatchObject({ kind: 'response', statusCode: 200, bodyTruncated });
    expect(result.kind === 'response' && result.body).toHaveLength(keptBytes);
  });

  test('that never ends is judged by its status, and its connection closed', async () => {
    receiver.on('*', behaviour.endlessBody());
    expect(await harness.send(receiver.url('/'))).toMatchObject({
      kind: 'response',
      statusCode: 200,
      bodyTruncated: true,
    });
    await receiver.waitForNoSockets(1_000);
  });

  test('is not decompressed, whatever it says it is', async () => {
    const bomb = gzipSync(Buffer.alloc(8_000_000));
    expect(bomb.length).toBeLessThan(16_384);
    receiver.on('*', behaviour.respond(200, { headers: { 'content-encoding': 'gzip' }, body: bomb }));
    const result = await harness.send(receiver.url('/'));
    expect(result.kind === 'response' && Buffer.from(result.body).equals(bomb)).toBe(true);
    expect(receiver.requests[0]?.headers['accept-encoding']).toBeUndefined();
  });
});

describe('what is no HTTP response', () => {
  test.each([
    ['another protocol', behaviour.raw('SSH-2.0-OpenSSH_9.6\r\n'), /^invalid_response http_parser_error$/],
    ['HTTP/9', behaviour.raw('HTTP/9.9 200 OK\r\n\r\n'), /^invalid_response http_parser_error$/],
    [
      'a header without a name',
      behaviour.raw('HTTP/1.1 200 OK\r\n: x\r\n\r\n'),
      /^invalid_response http_parser_error$/,
    ],
    [
      'a NUL in a header',
      behaviour.raw('HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n'),
      /^invalid_response http_parser_error$/,
    ],
    ['endless headers', behaviour.endlessHeaders(), /^invalid_response und_err_headers_overflow$/],
    [
      'a body shorter than declared',
      behaviour.wrongContentLength(100, 'short'),
      /^invalid_response und_err_res_content_length_mismatch$/,
    ],
    [
      'a change of protocol',
      behaviour.raw('HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
      /^invalid_response und_err_socket$/,
    ],
    ['a close without an answer', behaviour.closeConnection(), /^connection_error und_err_socket$/],
    ['a reset without an answer', behaviour.resetConnection(), /^connection_error econnreset$/],
  ])('%s', async (_what, does, expected) => {
    receiver.on('*', does);
    const result = await harness.send(receiver.url('/'));
    expect(inShort(result)).toMatch(expected);
    expect(result.remoteAddress).toBe('127.0.0.1');
    expect(receiver.requests).toHaveLength(1);
    await receiver.waitForNoSockets(1_000);
  });

  // Names and values count: `HTTP/1.1 200 OK`, colons and line ends do not.
  test.each([
    [16_383, 'response 204'],
    [16_384, 'invalid_response und_err_headers_overflow'],
  ])('a head of %i bytes: %s', async (bytes, expected) => {
    receiver.on('*', behaviour.raw(`HTTP/1.1 204 No Content\r\nx-a: ${'h'.repeat(bytes - 3)}\r\n\r\n`));
    expect(inShort(await harness.send(receiver.url('/')))).toBe(expected);
  });

  test('a reset in the middle of a body', async () => {
    receiver.on('*', ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', () => socket.resetAndDestroy());
    });
    expect(inShort(await harness.send(receiver.url('/')))).toBe('connection_error econnreset');
  });
});

describe('names', () => {
  test.each([
    ['ENOTFOUND', 'dns_error enotfound'],
    ['EAI_AGAIN', 'dns_error eai_again'],
    ['ETIMEOUT', 'dns_error etimeout'],
  ])('a look-up that ends with %s', async (code, expected) => {
    const named = openHarness({
      lookup: () => Promise.reject(Object.assign(new Error(code), { code })),
    });
    const result = await named.send('http://receiver.test/');
    expect(inShort(result)).toBe(expected);
    expect(result.remoteAddress).toBeNull();
  });

  test('a look-up without an answer', async () => {
    const named = openHarness({ lookup: () => Promise.resolve([]) });
    expect(inShort(await named.send('http://receiver.test/'))).toBe('dns_error enodata');
  });

  test('the system resolver is asked by default', async () => {
    expect(inShort(await harness.send(receiver.url('/', 'localhost')))).toMatch(
      /^(response 200|blocked address_not_allowed)$/,
    );
  });

  test('the next address is tried when the first refuses', async () => {
    const named = openHarness({
      lookup: () =>
        Promise.resolve([
          { address: '127.0.0.2', family: 4 },
          { address: '127.0.0.1', family: 4 },
        ]),
    });
    const result = await named.send(receiver.url('/', 'receiver.test'));
    expect([inShort(result), result.remoteAddress]).toEqual(['response 200', '127.0.0.1']);
    expect(receiver.requests[0]?.headers.host).toBe(`receiver.test:${String(receiver.port)}`);
  });
});

describe('connections', () => {
  test('are kept for the next request to the same origin', async () => {
    await harness.send(receiver.url('/1'));
    await harness.send(receiver.url('/2'));
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 1]);
  });

  test('are as many as there are requests at once, and no more later', async () => {
    const burst = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 20 }, () => harness.send(receiver.url('/'))));
    await burst();
    await burst();
    expect(receiver.requests).toHaveLength(40);
    expect(receiver.connectionCount).toBe(20);
  });

  test('are not kept where the receiver closes them', async () => {
    receiver.on('*', behaviour.respond(200, { headers: { connection: 'close' } }));
    await harness.send(receiver.url('/'));
    await harness.send(receiver.url('/'));
    expect(receiver.connectionCount).toBe(2);
  });

  test.each([
    ['reset', behaviour.resetConnection()],
    ['closed', behaviour.closeConnection()],
  ])('that are %s when used again cost one more try on a fresh one, at once', async (_what, does) => {
    const onSent = jest.fn();
    receiver.on('*', behaviour.inTurn(behaviour.respond(200), does, behaviour.respond(201)));
    await harness.send(receiver.url('/'));
    expect(inShort(await harness.send(receiver.url('/'), { onSent }))).toBe('response 201');
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
    expect(receiver.requests[2]?.body).toEqual(receiver.requests[1]?.body);
    expect(onSent).toHaveBeenCalledTimes(1);
  });

  test('that the receiver closed while they were idle are not used again', async () => {
    await harness.send(receiver.url('/'));
    receiver.dropConnections();
    await receiver.waitForNoSockets(1_000);
    expect(inShort(await harness.send(receiver.url('/')))).toBe('response 200');
    expect(receiver.requests).toHaveLength(2);
  });

  test('get no third try', async () => {
    receiver.on('*', behaviour.inTurn(behaviour.respond(200), behaviour.resetConnection()));
    await harness.send(receiver.url('/'));
    expect(inShort(await harness.send(receiver.url('/')))).toBe('connection_error econnreset');
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
  });

  test('that broke are not named as the peer of a second try that reached nobody', async () => {
    let connects = 0;
    const moved = openHarness({
      redirectConnect: (options) => {
        connects += 1;
        return connects === 1 ? options : { host: '127.0.0.1', port: 1 };
      },
    });
    receiver.on('*', behaviour.inTurn(behaviour.respond(200), behaviour.resetConnection()));
    await moved.send(receiver.url('/'));
    const result = await moved.send(receiver.url('/'));
    expect([inShort(result), result.remoteAddress]).toEqual(['connection_error econnrefused', null]);
  });

  test('get no second try once a byte of the answer came', async () => {
    receiver.on(
      '*',
      behaviour.inTurn(behaviour.respond(200), ({ socket }) => {
        socket.write('HTTP/1.1 20', () => socket.resetAndDestroy());
      }),
    );
    await harness.send(receiver.url('/'));
    expect(inShort(await harness.send(receiver.url('/')))).toBe('connection_error econnreset');
    expect(receiver.requests).toHaveLength(2);
  });

  test('do not keep the answer to one request for the next', async () => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n';
    receiver.on(
      '*',
      behaviour.inTurn(behaviour.raw(`${answer}hiHTTP/1.1 500 Smuggled\r\n\r\n`), behaviour.respond(201)),
    );
    expect(inShort(await harness.send(receiver.url('/')))).toBe('response 200');
    expect(inShort(await harness.send(receiver.url('/')))).toBe('response 201');
  });
});

describe('TLS', () => {
  let tlsReceiver: Receiver;

  beforeEach(async () => {
    tlsReceiver = await startReceiver({ tls: true });
  });

  afterEach(async () => {
    await tlsReceiver.close();
  });

  const lookup = () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]);
  const extraCaCertificates = [TEST_CERTIFICATE.cert];

  test('refuses a self-signed certificate', async () => {
    const result = await harness.send(tlsReceiver.url('/'));
    expect(inShort(result)).toBe('tls_error depth_zero_self_signed_cert');
    expect(result.remoteAddress).toBe('127.0.0.1');
    expect(tlsReceiver.requests).toHaveLength(0);
    await tlsReceiver.waitForNoSockets(1_000);
  });

  // In a process of its own: Jest gives tests a copy of the environment, which Node itself never looks at.
  // The sources as they are, types stripped, because a build may be older.
  test('refuses it also where the environment turns verification off', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      registerHooks({
        resolve: (specifier, context, next) =>
          next(context.parentURL?.endsWith('.ts') ? specifier.replace(/^([.][/].*)[.]js$/, '$1.ts') : specifier, context),
      });
      const { SenderHarness, inShort } = await import(${JSON.stringify(import.meta.resolve('./sender-harness.ts'))});
      const harness = new SenderHarness();
      console.log(inShort(await harness.send(process.argv[1])));
      await harness.sender.close();`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', script, tlsReceiver.url('/')],
      { env: { ...process.env, NODE_OPTIONS: '', NODE_TLS_REJECT_UNAUTHORIZED: '0' }, timeout: 10_000 },
    );
    expect(stdout.trim()).toBe('tls_error depth_zero_self_signed_cert');
    expect(tlsReceiver.requests).toHaveLength(0);
  }, 15_000);

  test('delivers where the certificate is trusted, and keeps the connection', async () => {
    const trusting = openHarness({ extraCaCertificates, lookup });
    for (const host of ['127.0.0.1', 'receiver.test', 'receiver.test']) {
      expect(inShort(await trusting.send(tlsReceiver.url('/', host)))).toBe('response 200');
    }
    expect(tlsReceiver.requests.map(({ connection }) => connection)).toEqual([1, 2, 2]);
    await trusting.sender.close();
    await tlsReceiver.waitForNoSockets(1_000);
  });

  test('refuses the certificate of another name, every time', async () => {
    const trusting = openHarness({ extraCaCertificates, lookup });
    for (let time = 0; time < 2; time += 1) {
      expect(inShort(await trusting.send(tlsReceiver.url('/', 'other.test')))).toBe(
        'tls_error err_tls_cert_altname_invalid',
      );
    }
    expect(tlsReceiver.requests).toHaveLength(0);
  });

  test('with a receiver that speaks plain HTTP', async () => {
    const plainPort = new URL(receiver.url()).port;
    expect(inShort(await harness.send(`https://127.0.0.1:${plainPort}/`))).toMatch(
      /^tls_error (eproto|err_ssl_)/,
    );
  });

  test('with a peer that closes during the handshake', async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    try {
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      expect(inShort(await harness.send(`https://127.0.0.1:${String(port)}/`))).toBe(
        'connection_error econnreset',
      );
    } finally {
      server.close();
    }
  });
});

describe('close', () => {
  test('lets what is in flight end, and takes nothing more', async () => {
    receiver.on('*', behaviour.after(100, behaviour.respond(200)));
    const sending = harness.send(receiver.url('/'));
    await receiver.waitFor(1, 1_000);
    const closing = harness.sender.close();
    await expect(harness.send(receiver.url('/'))).rejects.toThrow('closed');
    expect(inShort(await sending)).toBe('response 200');
    await closing;
    await receiver.waitForNoSockets(1_000);
    await harness.sender.close();
  });
});
