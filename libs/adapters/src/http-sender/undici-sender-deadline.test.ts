import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import * as behaviour from '#testkit/receiver/behaviour.js';
import { startReceiver, type Receiver } from '#testkit/receiver/receiver.js';
import { startSilentListener, startUnacceptingListener } from '#testkit/receiver/silent-listener.js';
import { inShort, SenderHarness } from './sender-harness.js';

/*
 * Every way to keep a sender waiting, cut at the same instant. Doubled: the resolver, where it is what hangs.
 * Observed: when `send` returned, and that no socket is left on either side.
 */

const TIMEOUT_MS = 300;
const TOLERANCE_MS = 150;

let receiver: Receiver;
let harness: SenderHarness;

beforeEach(async () => {
  receiver = await startReceiver();
  harness = new SenderHarness();
});

afterEach(async () => {
  await harness.sender.close();
  await receiver.close();
});

async function expectCut(url: string, waitingFor: string, sender = harness): Promise<void> {
  const startedMs = performance.now();
  // On a busy machine every timer is late: the deadline is judged beside one that does nothing else.
  const plainTimer = delay(TIMEOUT_MS).then(() => performance.now() - startedMs);
  const result = await sender.send(url, { timeoutMs: TIMEOUT_MS });
  const tookMs = performance.now() - startedMs;
  expect(inShort(result)).toBe('timeout deadline_exceeded');
  expect(result).toHaveProperty('message', `the deadline passed while waiting for ${waitingFor}`);
  expect(tookMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 1);
  expect(tookMs).toBeLessThanOrEqual((await plainTimer) + TOLERANCE_MS);
  expect(result.durationMs).toBeLessThanOrEqual(tookMs);
  expect(sender.sockets.filter((socket) => !socket.destroyed)).toEqual([]);
}

describe('the deadline cuts', () => {
  test.each([
    ['no answer', behaviour.hang(), 'the response'],
    ['a head in drips', behaviour.dripHead(20), 'the response'],
    ['a body in drips', behaviour.dripBody(20), 'the end of the response body'],
    ['a flood of 1xx', behaviour.floodInterim(1), 'the response'],
    ['an answer that comes too late', behaviour.after(TIMEOUT_MS + 100), 'the response'],
    [
      'a body that stops short',
      behaviour.raw('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'),
      'the end of the response body',
    ],
  ])('%s', async (_what, does, waitingFor) => {
    receiver.on('*', does);
    await expectCut(receiver.url('/'), waitingFor);
    await receiver.waitForNoSockets(1_000);
  });

  test('no answer on a connection that was used before, without trying again', async () => {
    receiver.on('*', behaviour.inTurn(behaviour.respond(200), behaviour.hang()));
    await harness.send(receiver.url('/'));
    await expectCut(receiver.url('/'), 'the response');
    expect(receiver.requests).toHaveLength(2);
    await receiver.waitForNoSockets(1_000);
  });

  test('the second try after a reset at the same instant as the first', async () => {
    receiver.on(
      '*',
      behaviour.inTurn(
        behaviour.respond(200),
        behaviour.after(TIMEOUT_MS / 2, behaviour.resetConnection()),
        behaviour.hang(),
      ),
    );
    await harness.send(receiver.url('/'));
    await expectCut(receiver.url('/'), 'the response');
    expect(receiver.requests).toHaveLength(3);
  });

  test('a TLS handshake that hangs', async () => {
    const listener = await startSilentListener();
    try {
      await expectCut(`https://127.0.0.1:${String(listener.port)}/`, 'the TLS handshake');
      await listener.peerClosed;
    } finally {
      await listener.close();
    }
  });

  test('a look-up that hangs, and connects to nothing when it is over', async () => {
    const { promise, resolve } = Promise.withResolvers<{ address: string; family: number }[]>();
    const named = new SenderHarness({ lookup: () => promise });
    await expectCut('http://receiver.test/', 'the look-up', named);
    resolve([{ address: '127.0.0.1', family: 4 }]);
    await named.sender.close();
    expect(named.sockets).toEqual([]);
  });

  // Only Linux leaves a connection unconfirmed when the backlog is full.
  (process.platform === 'linux' ? test : test.skip)('a connection that is never confirmed', async () => {
    const listener = await startUnacceptingListener();
    try {
      await expectCut(`http://127.0.0.1:${String(listener.port)}/`, 'the connection');
    } finally {
      await listener.close();
    }
  });
});

test('a deadline that has passed already sends nothing', async () => {
  expect(inShort(await harness.send(receiver.url('/'), { timeoutMs: -1 }))).toBe('timeout deadline_exceeded');
  expect(harness.sockets).toEqual([]);
});

test('a deadline leaves no timer behind, however its request ended', async () => {
  const set = jest.spyOn(globalThis, 'setTimeout');
  const cleared = jest.spyOn(globalThis, 'clearTimeout');
  try {
    expect(inShort(await harness.send(receiver.url('/'), { timeoutMs: 60_000 }))).toBe('response 200');
    expect(inShort(await harness.send('ftp://127.0.0.1/', { timeoutMs: 60_000 }))).toBe(
      'blocked scheme_not_allowed',
    );
    // Told by their length from the timers of everything else in the process.
    const timers = set.mock.results.filter((_result, call) => Number(set.mock.calls[call]?.[1]) > 50_000);
    expect(timers).toHaveLength(2);
    for (const { value } of timers) expect(cleared.mock.calls.some(([timer]) => timer === value)).toBe(true);
  } finally {
    set.mockRestore();
    cleared.mockRestore();
  }
});

test('the deadline of one request does not cut the next on its connection', async () => {
  await harness.send(receiver.url('/'), { timeoutMs: 200 });
  receiver.on('*', behaviour.after(300, behaviour.respond(202)));
  expect(inShort(await harness.send(receiver.url('/'), { timeoutMs: 2_000 }))).toBe('response 202');
  expect(receiver.connectionCount).toBe(1);
});
