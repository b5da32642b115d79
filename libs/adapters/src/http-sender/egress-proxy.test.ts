import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import * as behaviour from '#testkit/receiver/behaviour.js';
import { startConnectProxy, type ConnectAnswer, type ConnectProxy } from '#testkit/receiver/connect-proxy.js';
import { startReceiver, type Receiver } from '#testkit/receiver/receiver.js';
import { startUnacceptingListener } from '#testkit/receiver/silent-listener.js';
import { TEST_CERTIFICATE } from '#testkit/receiver/test-certificate.js';
import { EgressProxyError, parseEgressProxy } from './egress-proxy.js';
import { inShort, SenderHarness, type HarnessOptions } from './sender-harness.js';

/*
 * Everything goes through the operator's proxy, which is real, and to addresses that were judged before it was asked.
 * Doubled: the resolver; and the proxy connects to a receiver on this machine whatever address it is asked for.
 * Observed: what the proxy was asked, where connects went, what the receiver got.
 */

const PUBLIC: LookupAddress = { address: '93.184.216.34', family: 4 };
const PUBLIC_V6: LookupAddress = { address: '2606:2800:220:1::1', family: 6 };
const PRIVATE: LookupAddress = { address: '10.0.0.7', family: 4 };

let receiver: Receiver;
let proxy: ConnectProxy;
let harness: SenderHarness;
let answers: (call: number) => ConnectAnswer;

beforeEach(async () => {
  receiver = await startReceiver();
  answers = () => ({ port: receiver.port });
  let calls = 0;
  proxy = await startConnectProxy(() => answers((calls += 1)));
});

afterEach(async () => {
  await harness.sender.close();
  expect(harness.sockets.filter((socket) => !socket.destroyed)).toEqual([]);
  await proxy.close();
  await receiver.close();
});

function through(options: HarnessOptions = {}, credentials = ''): SenderHarness {
  harness = new SenderHarness({
    allowCidrs: [],
    lookup: () => Promise.resolve([PUBLIC]),
    proxy: parseEgressProxy(`http://${credentials}127.0.0.1:${proxy.port}`),
    ...options,
  });
  return harness;
}

describe('a request through the proxy', () => {
  test('goes to the judged address and keeps its name', async () => {
    const sender = through();
    const result = await sender.send('http://receiver.test:8080/hooks?a=1');
    expect([inShort(result), result.remoteAddress]).toEqual(['response 200', PUBLIC.address]);
    expect(proxy.requests).toEqual([{ authority: `${PUBLIC.address}:8080`, authorization: undefined }]);
    expect(receiver.requests[0]).toMatchObject({ path: '/hooks?a=1', method: 'POST' });
    expect(receiver.requests[0]?.headers.host).toBe('receiver.test:8080');
    expect(receiver.requests[0]?.headers['proxy-authorization']).toBeUndefined();
    expect(sender.sockets).toHaveLength(1);
  });

  test('uses the tunnel again', async () => {
    const sender = through();
    await sender.send('http://receiver.test/1');
    await sender.send('http://receiver.test/2');
    expect(proxy.requests).toHaveLength(1);
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 1]);
  });

  test('to an IPv6 address has brackets', async () => {
    expect(inShort(await through().send('http://[2606:2800:220:1::1]/'))).toBe('response 200');
    expect(proxy.requests[0]?.authority).toBe('[2606:2800:220:1::1]:80');
  });

  test('has the credentials of the proxy’s URL, decoded', async () => {
    await through({}, 'out%40posthorn:p%C3%A4ss%3Aword@').send('http://receiver.test/');
    const basic = Buffer.from('out@posthorn:päss:word').toString('base64');
    expect(proxy.requests[0]?.authorization).toBe(`Basic ${basic}`);
  });

  test('speaks TLS inside the tunnel, with the host’s name, and verifies it', async () => {
    const tlsReceiver = await startReceiver({ tls: true });
    try {
      answers = () => ({ port: tlsReceiver.port });
      const sender = through({ extraCaCertificates: [TEST_CERTIFICATE.cert] });
      expect(inShort(await sender.send('https://receiver.test/'))).toBe('response 200');
      expect(proxy.requests[0]?.authority).toBe(`${PUBLIC.address}:443`);
      expect(inShort(await sender.send('https://other.test/'))).toBe(
        'tls_error err_tls_cert_altname_invalid',
      );
      await sender.sender.close();
      await through()
        .send('https://receiver.test/')
        .then(inShort)
        .then((short) => {
          expect(short).toBe('tls_error depth_zero_self_signed_cert');
        });
      expect(tlsReceiver.requests).toHaveLength(1);
    } finally {
      await tlsReceiver.close();
    }
  });

  test('follows no redirect', async () => {
    receiver.on('*', behaviour.respond(302, { headers: { location: 'http://10.0.0.7/' } }));
    expect(inShort(await through().send('http://receiver.test/'))).toBe('response 302');
    expect(proxy.requests).toHaveLength(1);
  });
});

describe('the proxy is no way around the policy', () => {
  test.each([
    ['http://10.0.0.7/', [PUBLIC]],
    ['http://[::ffff:10.0.0.7]/', [PUBLIC]],
    ['http://receiver.test/', [PRIVATE]],
    ['http://receiver.test/', [PUBLIC, PRIVATE]],
    ['http://127.0.0.1/', [PUBLIC]],
  ])('%s, resolved to %j, is not asked for', async (url, addresses) => {
    const sender = through({ lookup: () => Promise.resolve(addresses) });
    const result = await sender.send(url);
    expect(result).toMatchObject({ kind: 'blocked', errorCode: 'address_not_allowed', durationMs: 0 });
    expect(sender.sockets).toEqual([]);
    expect(proxy.requests).toEqual([]);
  });
});

describe('the proxy’s own answers', () => {
  test.each([500, 502, 503, 504])('%i is about the receiver', async (status) => {
    answers = () => ({ bytes: `HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n` });
    const result = await through().send('http://receiver.test/');
    expect(result).toMatchObject({
      kind: 'connection_error',
      errorCode: 'proxy_connect_failed',
      message: 'the egress proxy could not connect to the host',
      remoteAddress: null,
    });
  });

  test('5xx for one address leads to the next', async () => {
    answers = (call) => (call === 1 ? { bytes: 'HTTP/1.1 503 No route\r\n\r\n' } : { port: receiver.port });
    const sender = through({ lookup: () => Promise.resolve([PUBLIC_V6, PUBLIC]) });
    const result = await sender.send('http://receiver.test/');
    expect([inShort(result), result.remoteAddress]).toEqual(['response 200', PUBLIC.address]);
    expect(proxy.requests.map(({ authority }) => authority)).toEqual([
      '[2606:2800:220:1::1]:80',
      '93.184.216.34:80',
    ]);
  });

  test('a name with very many addresses makes it try four', async () => {
    answers = () => ({ bytes: 'HTTP/1.1 502 No\r\n\r\n' });
    const many = Array.from({ length: 50 }, (_, index) => ({ address: `93.184.216.${index}`, family: 4 }));
    await through({ lookup: () => Promise.resolve(many) }).send('http://receiver.test/');
    expect(proxy.requests).toHaveLength(4);
  });

  test.each<[string, ConnectAnswer]>([
    ['407', { bytes: 'HTTP/1.1 407 Who are you\r\nproxy-authenticate: Basic\r\n\r\n' }],
    ['403', { bytes: 'HTTP/1.1 403 Forbidden\r\n\r\n' }],
    ['400', { bytes: 'HTTP/1.1 400 Bad Request\r\n\r\n' }],
    ['302', { bytes: 'HTTP/1.1 302 Log in\r\nlocation: http://portal/\r\n\r\n' }],
    ['another protocol', { bytes: 'SSH-2.0-OpenSSH_9.6\r\n' }],
    ['endless headers', { bytes: `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(20_000)}\r\n\r\n` }],
    ['a close', { bytes: '' }],
  ])('%s is our own trouble: send throws, and nothing was sent', async (_what, answer) => {
    answers = () => answer;
    let sent = false;
    const sending = through().send('http://receiver.test/', { onSent: () => (sent = true) });
    await expect(sending).rejects.toBeInstanceOf(EgressProxyError);
    expect(sent).toBe(false);
    expect(receiver.connectionCount).toBe(0);
  });

  test('none before the deadline is a timeout, in time', async () => {
    answers = () => null;
    const startedMs = performance.now();
    const result = await through().send('http://receiver.test/', { timeoutMs: 200 });
    expect(inShort(result)).toBe('timeout deadline_exceeded');
    expect(result).toHaveProperty('message', 'the deadline passed while waiting for the egress proxy');
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });
});

describe('a proxy that cannot be reached is our own trouble', () => {
  test('because nobody listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const sender = through({ proxy: parseEgressProxy(`http://127.0.0.1:${port}`) });
    await expect(sender.send('http://receiver.test/')).rejects.toBeInstanceOf(EgressProxyError);
  });

  (process.platform === 'linux' ? test : test.skip)('because it never confirms a connection', async () => {
    const listener = await startUnacceptingListener();
    try {
      const sender = through({ proxy: parseEgressProxy(`http://127.0.0.1:${listener.port}`) });
      const sending = sender.send('http://receiver.test/', { timeoutMs: 200 });
      await expect(sending).rejects.toBeInstanceOf(EgressProxyError);
    } finally {
      await listener.close();
    }
  });
});

describe('parseEgressProxy', () => {
  test.each([
    ['http://proxy.internal', { host: 'proxy.internal', port: 80, authorization: null }],
    ['http://[fd00::1]:3128/', { host: 'fd00::1', port: 3_128, authorization: null }],
    ['http://token@proxy:3128', { host: 'proxy', port: 3_128, authorization: 'Basic dG9rZW46' }],
  ])('%s', (text, proxyParts) => {
    expect(parseEgressProxy(text)).toEqual(proxyParts);
  });

  test.each([
    '',
    'proxy:3128',
    'https://proxy:3128',
    'http://proxy/path',
    'http://s3cret:pw@proxy/?a',
    'http://',
  ])('refuses %j without repeating it', (text) => {
    expect(() => parseEgressProxy(text)).toThrow(RangeError);
    expect(() => parseEgressProxy(text)).not.toThrow(/s3cret/);
  });
});
