import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startReceiver, type Receiver } from '#testkit/receiver/receiver.js';
import { inShort, SenderHarness, type HarnessOptions } from './sender-harness.js';

/*
 * Nothing reaches an address that is not allowed. Doubled: the resolver, and, for public addresses, where a TCP
 * connect goes: nothing leaves the machine. Observed: connects, and that there are none.
 */

const PUBLIC: LookupAddress = { address: '93.184.216.34', family: 4 };
const LOOPBACK: LookupAddress = { address: '127.0.0.1', family: 4 };

let receiver: Receiver;
let harness: SenderHarness | undefined;

beforeEach(async () => {
  receiver = await startReceiver();
});

afterEach(async () => {
  await harness?.sender.close();
  await receiver.close();
});

function strictHarness(options: HarnessOptions = {}): SenderHarness {
  harness = new SenderHarness({ allowCidrs: [], ...options });
  return harness;
}

async function expectNoConnect(url: string, options: HarnessOptions = {}): Promise<void> {
  const strict = strictHarness(options);
  const result = await strict.send(url);
  expect(inShort(result)).toBe('blocked address_not_allowed');
  expect(result.remoteAddress).toBeNull();
  expect(result).toHaveProperty('message', 'the host has an address that may not be sent to');
  expect(strict.sockets).toEqual([]);
  expect(receiver.connectionCount).toBe(0);
}

describe('a literal that is not allowed is not connected to', () => {
  test.each([
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.1',
    '127.0.0.1.',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
  ])('%s', async (host) => {
    await expectNoConnect(receiver.url('/', host), { lookup: () => Promise.resolve([PUBLIC]) });
  });
});

describe('a name with any address that is not allowed is not connected to', () => {
  test.each([
    ['private only', [LOOPBACK]],
    ['private first', [LOOPBACK, PUBLIC]],
    ['private last', [PUBLIC, LOOPBACK]],
    ['mapped', [PUBLIC, { address: '::ffff:127.0.0.1', family: 6 }]],
    ['with a zone', [PUBLIC, { address: 'fe80::1%lo', family: 6 }]],
    ['no address at all', [{ address: 'localhost', family: 4 }]],
  ])('%s', async (_what, addresses: LookupAddress[]) => {
    await expectNoConnect(receiver.url('/', 'receiver.test'), { lookup: () => Promise.resolve(addresses) });
  });

  test('localhost by the system resolver', async () => {
    await expectNoConnect(receiver.url('/', 'localhost'));
  });
});

test('what the URL shows to be wrong is refused without a look-up', async () => {
  const asked: string[] = [];
  const strict = strictHarness({
    lookup: (hostname) => {
      asked.push(hostname);
      return Promise.resolve([PUBLIC]);
    },
  });
  expect(inShort(await strict.send('ftp://receiver.test/'))).toBe('blocked scheme_not_allowed');
  expect(inShort(await strict.send('http://user:secret@receiver.test/'))).toBe(
    'blocked credentials_not_allowed',
  );
  expect(inShort(await strict.send('not a url'))).toBe('blocked url_malformed');
  expect(asked).toEqual([]);
});

test('the address that was judged is the one that is connected to, whatever the name means next', async () => {
  const answers = [[PUBLIC], [LOOPBACK]];
  let lookups = 0;
  const targets: unknown[] = [];
  const strict = strictHarness({
    lookup: () => Promise.resolve(answers[lookups++] ?? []),
    redirectConnect: ({ lookup, host, port }) => {
      targets.push({ port, answers: answersOf(lookup, host ?? '') });
      // Nothing listens there, and it is not allowed: were the judged address not the one used, it would show.
      return { host: '127.0.0.1', port: 1 };
    },
  });
  expect(inShort(await strict.send('http://receiver.test:8080/'))).toBe('connection_error econnrefused');
  expect(lookups).toBe(1);
  expect(targets).toEqual([{ port: 8_080, answers: [PUBLIC] }]);
  expect(inShort(await strict.send('http://receiver.test:8080/'))).toBe('blocked address_not_allowed');
  expect(targets).toHaveLength(1);
});

test('a peer with another address than was judged gets no byte', async () => {
  const strict = strictHarness({
    lookup: () => Promise.resolve([PUBLIC]),
    redirectConnect: () => ({ host: '127.0.0.1', port: receiver.port }),
  });
  const result = await strict.send(receiver.url('/', 'receiver.test'));
  expect([inShort(result), result.remoteAddress]).toEqual(['blocked address_not_allowed', null]);
  await receiver.waitForNoSockets(1_000);
  expect(receiver.connectionCount).toBe(1);
  expect(receiver.requests).toEqual([]);
});

/** What a connect would be told when it asked for the addresses of its host. */
function answersOf(lookup: LookupFunction | undefined, host: string): unknown {
  let answer: unknown;
  lookup?.(host, { all: true }, (_error, addresses) => {
    answer = addresses;
  });
  return answer;
}
