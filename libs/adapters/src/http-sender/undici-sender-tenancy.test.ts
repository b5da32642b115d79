import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ClientCertificate, OutgoingRequest } from '#pipeline/sender.js';
import * as behaviour from '#testkit/receiver/behaviour.js';
import { startReceiver, type Receiver } from '#testkit/receiver/receiver.js';
import { TEST_CERTIFICATE } from '#testkit/receiver/test-certificate.js';
import {
  TEST_CLIENT_AUTHORITY,
  TEST_CLIENT_CERTIFICATES,
} from '#testkit/receiver/test-client-certificates.js';
import { inShort, SenderHarness } from './sender-harness.js';

/*
 * What one merchant's requests leave behind never serves another's. Doubled: nothing. Observed: which connection each
 * request came on, and the certificate that was shown on it, by a receiver that refuses who shows none.
 */

const { shopA, shopB, expired } = TEST_CLIENT_CERTIFICATES;

let receiver: Receiver;
let harness: SenderHarness;

beforeEach(() => {
  harness = new SenderHarness({ extraCaCertificates: [TEST_CERTIFICATE.cert] });
});

afterEach(async () => {
  await harness.sender.close();
  await receiver.waitForNoSockets(1_000);
  await receiver.close();
});

async function send(
  fields: Partial<Pick<OutgoingRequest, 'merchantId' | 'clientCertificate'>>,
): Promise<string> {
  return inShort(await harness.send(receiver.url('/'), fields));
}

describe('client certificates', () => {
  beforeEach(async () => {
    receiver = await startReceiver({ tls: true, clientAuthority: TEST_CLIENT_AUTHORITY });
  });

  test('are shown to a receiver that asks for one', async () => {
    expect(await send({ clientCertificate: shopA })).toBe('response 200');
    expect(receiver.requests.map(({ clientName }) => clientName)).toEqual(['shop-a.test']);
  });

  test.each<[string, ClientCertificate | null]>([
    ['none', null],
    ['an expired one', expired],
    ['one of another authority', { certificate: TEST_CERTIFICATE.cert, privateKey: TEST_CERTIFICATE.key }],
  ])('%s is a tls_error where the receiver wants a good one', async (_what, clientCertificate) => {
    expect(await send({ clientCertificate })).toMatch(/^(tls_error|connection_error) /);
    expect(receiver.requests).toEqual([]);
  });

  test('keep connections apart: one that was opened with a certificate serves nobody else', async () => {
    const turns = [shopA, shopB, shopA, null, shopB, shopA];
    for (const clientCertificate of turns) await send({ clientCertificate });
    expect(receiver.requests.map(({ clientName, connection }) => [clientName, connection])).toEqual([
      ['shop-a.test', 1],
      ['shop-b.test', 2],
      ['shop-a.test', 1],
      ['shop-b.test', 2],
      ['shop-a.test', 1],
    ]);
  });

  test('are told apart by their keys too', async () => {
    await send({ clientCertificate: shopA });
    const sending = send({ clientCertificate: { ...shopA, privateKey: shopB.privateKey } });
    await expect(sending).rejects.toThrow(/key values mismatch/);
    expect(receiver.requests).toHaveLength(1);
  });

  test('are shown by many at once to each its own', async () => {
    const wanted = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? shopA : shopB));
    const rounds = [wanted, wanted, wanted];
    for (const round of rounds) {
      await Promise.all(
        round.map((clientCertificate, index) =>
          harness.send(receiver.url(`/${clientCertificate === shopA ? 'shop-a' : 'shop-b'}.test/${index}`), {
            clientCertificate,
          }),
        ),
      );
    }
    expect(receiver.requests).toHaveLength(120);
    for (const { path, clientName } of receiver.requests) expect(path.split('/')[1]).toBe(clientName);
    expect(receiver.connectionCount).toBe(40);
  });

  test('need https', async () => {
    const url = receiver.url('/').replace('https:', 'http:');
    await expect(harness.send(url, { clientCertificate: shopA })).rejects.toThrow(TypeError);
    expect(harness.sockets).toEqual([]);
  });
});

describe('merchants', () => {
  beforeEach(async () => {
    receiver = await startReceiver();
  });

  test('have connections of their own to a receiver that they share', async () => {
    for (const merchantId of ['a', 'b', 'a', 'b']) await send({ merchantId });
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 2, 1, 2]);
  });

  test('cannot have the answer to another’s request made up for them', async () => {
    const answer = 'HTTP/1.1 503 Mine\r\ncontent-length: 0\r\n\r\n';
    const madeUp = 'HTTP/1.1 200 Made up\r\ncontent-length: 0\r\n\r\n';
    receiver.on(
      '*',
      behaviour.inTurn(({ socket }) => {
        // The made-up answer comes once the first one was taken, and waits on the connection.
        socket.write(answer, () => setImmediate(() => socket.write(madeUp)));
      }, behaviour.respond(204)),
    );
    expect(await send({ merchantId: 'a' })).toBe('response 503');
    expect(await send({ merchantId: 'b' })).toBe('response 204');
  });
});
