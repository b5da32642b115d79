import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type ConnectProxy, startConnectProxy } from '#testkit/receiver/connect-proxy.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { TEST_CERTIFICATE } from '#testkit/receiver/test-certificate.js';
import {
  TEST_CLIENT_AUTHORITY,
  TEST_CLIENT_CERTIFICATES,
} from '#testkit/receiver/test-client-certificates.js';

// An installation whose way out is a proxy. The receiver wants client certificates; the worker trusts its certificate
// because an operator said so (NODE_EXTRA_CA_CERTS). Observed: what the proxy was asked, what the receiver got, the log of
// deliveries as a merchant reads it, and the processes' own log.

const { shopA, shopB } = TEST_CLIENT_CERTIFICATES;

let directory: string;
let proxy: ConnectProxy;
let receiver: Receiver;
let installation: Installation;
let isProxyClosed = false;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'posthorn-egress-'));
  const trusted = join(directory, 'trusted.pem');
  await writeFile(trusted, TEST_CERTIFICATE.cert);
  receiver = await startReceiver({ tls: true, clientAuthority: TEST_CLIENT_AUTHORITY });
  proxy = await startConnectProxy(() =>
    isProxyClosed ? { bytes: 'HTTP/1.1 407 Who are you\r\n\r\n' } : { port: receiver.port },
  );
  installation = await startInstallation({
    queue: 'postgres',
    environment: {
      NODE_EXTRA_CA_CERTS: trusted,
      POSTHORN_EGRESS_PROXY: `http://posthorn:proxy-canary@127.0.0.1:${proxy.port}`,
    },
  });
}, 60_000);

afterAll(async () => {
  await installation.close();
  await receiver.close();
  await proxy.close();
  await rm(directory, { recursive: true });
}, 30_000);

interface Delivery {
  readonly id: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly attempts: readonly Readonly<Record<string, unknown>>[];
}

async function deliveryOf(eventId: string): Promise<Delivery> {
  const { body } = await installation.client.get<{ data: Delivery[] }>(`/v1/deliveries?event_id=${eventId}`);
  const detail = await installation.client.get<Delivery>(`/v1/deliveries/${String(body.data[0]?.id)}`);
  return detail.body;
}

test('each merchant’s certificate goes through the proxy to its receiver', async () => {
  const sent: [string, string][] = [];
  for (const [path, { certificate, privateKey }] of [
    ['/shop-a.test', shopA],
    ['/shop-b.test', shopB],
  ] as const) {
    const merchantId = await installation.client.newMerchant();
    await installation.client.newWebhook(merchantId, receiver.url(path), {
      client_certificate: { certificate, private_key: privateKey },
    });
    for (let event = 0; event < 3; event++) {
      const { id } = await installation.client.sendEvent(merchantId);
      sent.push([path, id]);
    }
  }
  await receiver.waitFor(6, 10_000);
  for (const { path, clientName } of receiver.requests) expect(path).toBe(`/${String(clientName)}`);
  for (const [, eventId] of sent) {
    await eventually(async () => {
      const { status, attempts } = await deliveryOf(eventId);
      expect({ status, attempts }).toMatchObject({
        status: 'succeeded',
        attempts: [{ outcome: 'succeeded', remote_address: '127.0.0.1' }],
      });
    });
  }
  const basic = `Basic ${Buffer.from('posthorn:proxy-canary').toString('base64')}`;
  for (const request of proxy.requests) {
    expect(request).toEqual({ authority: `127.0.0.1:${receiver.port}`, authorization: basic });
  }
});

test('a proxy that refuses us charges no receiver, and all arrives when it is back', async () => {
  const merchantId = await installation.client.newMerchant();
  const { certificate, privateKey } = shopA;
  await installation.client.newWebhook(merchantId, receiver.url('/later'), {
    client_certificate: { certificate, private_key: privateKey },
    retry_schedule_seconds: [],
  });
  isProxyClosed = true;
  const asked = proxy.requests.length;
  const { id } = await installation.client.sendEvent(merchantId);
  await eventually(() => expect(proxy.requests.length).toBeGreaterThan(asked + 2));
  await expect(deliveryOf(id)).resolves.toMatchObject({ status: 'pending', attempt_count: 0, attempts: [] });
  isProxyClosed = false;
  await eventually(async () => {
    await expect(deliveryOf(id)).resolves.toMatchObject({ status: 'succeeded', attempt_count: 1 });
  });
  const got = receiver.requests.filter(({ path }) => path === '/later');
  expect(got.map(({ headers }) => headers['x-posthorn-attempt'])).toEqual(['1']);
});

test('of what is blocked when it is sent, the merchant reads nothing but that', async () => {
  const merchantId = await installation.client.newMerchant();
  await installation.client.newWebhook(merchantId, 'http://127.0.0.1:8080/', { retry_schedule_seconds: [] });
  // The operator takes back what was allowed when the webhook was made.
  await installation.startWorker({ POSTHORN_EGRESS_ALLOW: 'none' });
  await installation.workers[0]?.end();
  const asked = proxy.requests.length;
  const { id } = await installation.client.sendEvent(merchantId);
  await eventually(async () => {
    const { status, attempts } = await deliveryOf(id);
    expect({ status, attempts }).toMatchObject({
      status: 'failed',
      attempts: [
        {
          outcome: 'blocked',
          error_code: 'address_not_allowed',
          error_message: 'the host has an address that may not be sent to',
          remote_address: null,
          duration_ms: 0,
          status_code: null,
        },
      ],
    });
  });
  expect(proxy.requests).toHaveLength(asked);
});

test('neither the proxy’s password nor a private key reaches a log line', () => {
  const lines = [...installation.apis, ...installation.workers].flatMap(({ lines }) => lines);
  const text = lines.join('\n');
  expect(text).toContain('http://redacted:redacted@127.0.0.1');
  expect(text).toContain('the egress proxy answered 407 to CONNECT');
  expect(text).not.toMatch(/proxy-canary|PRIVATE KEY/);
  expect(text).not.toContain(Buffer.from('posthorn:proxy-canary').toString('base64'));
});
