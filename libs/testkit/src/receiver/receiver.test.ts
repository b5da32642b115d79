import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { failFirst, hang, inTurn, resetConnection, respond } from './behaviour.js';
import { startReceiver, type Receiver } from './receiver.js';

let receiver: Receiver;

beforeEach(async () => {
  receiver = await startReceiver({ behaviour: respond(200, { body: 'default' }) });
});

afterEach(async () => {
  await receiver.close();
  expect(receiver.openSocketCount).toBe(0);
});

async function post(path: string, body = ''): Promise<number> {
  const response = await fetch(receiver.url(path), { method: 'POST', body });
  await response.arrayBuffer();
  return response.status;
}

test('records what came, byte for byte, with the time of its arrival', async () => {
  const beforeMs = performance.now();
  await fetch(receiver.url('/hooks?a=1'), {
    method: 'POST',
    body: Uint8Array.of(0, 255),
    headers: { 'X-Own': 'yes' },
  });
  const [request] = await receiver.waitFor(1, 1_000);
  expect(request).toMatchObject({
    method: 'POST',
    path: '/hooks?a=1',
    body: Buffer.of(0, 255),
    connection: 1,
  });
  expect(request?.headers['x-own']).toBe('yes');
  expect(request?.arrivedMs).toBeGreaterThanOrEqual(beforeMs);
  expect(Math.abs((request?.arrivedAtUnixMs ?? 0) - Date.now())).toBeLessThan(1_000);
});

test('does what its path is told, and the default elsewhere', async () => {
  receiver.on('/gone', respond(410));
  receiver.on('/flaky', failFirst(2, 503));
  receiver.on('/turns', inTurn(respond(201), respond(202)));
  expect([await post('/gone?x'), await post('/other')]).toEqual([410, 200]);
  expect([await post('/flaky'), await post('/flaky'), await post('/flaky')]).toEqual([503, 503, 200]);
  expect([await post('/turns'), await post('/turns'), await post('/turns')]).toEqual([201, 202, 202]);
  receiver.on('*', resetConnection());
  await expect(post('/other')).rejects.toThrow();
});

test('waits for requests by number or by what they are, and says what it got when they do not come', async () => {
  const two = receiver.waitFor(2, 1_000);
  const paid = receiver.waitFor((requests) => requests.some(({ body }) => body.includes('paid')), 1_000);
  await post('/a', 'paid');
  await post('/b');
  expect(await two).toHaveLength(2);
  expect(await paid).toHaveLength(2);
  await expect(receiver.waitFor(3, 20)).rejects.toThrow(
    'waited for 3 requests, got 2: POST /a, POST /b (after 20 ms)',
  );
});

test('counts the sockets that are open, and closes those that hang', async () => {
  receiver.on('*', hang());
  const hanging = post('/');
  const failed = expect(hanging).rejects.toThrow();
  await receiver.waitFor(1, 1_000);
  expect([receiver.openSocketCount, receiver.connectionCount]).toEqual([1, 1]);
  receiver.dropConnections();
  await receiver.waitForNoSockets(1_000);
  await failed;
});
