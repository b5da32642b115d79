// Doubled: nothing. API, worker, PostgreSQL, the queue and the receivers are real, and every wait is waited in full.
// Observed: when requests arrive at the receivers, on one clock, and what the log says of them.
// Not asserted: exact waits. Jitter is ±10%, and a busy machine may add to it, so there is slack after each wait and
// none before it.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { dripBody, hang, inTurn, respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';

let installation: Installation;
let client: ApiClient;
let merchantId: string;
const receivers: Receiver[] = [];

beforeAll(async () => {
  installation = await startInstallation({ queue: hasRedis() ? 'redis' : 'postgres' });
  client = installation.client;
  merchantId = await client.newMerchant();
}, 60_000);

afterAll(async () => {
  await installation.close();
  await Promise.all(receivers.map((receiver) => receiver.close()));
}, 30_000);

interface Delivery {
  readonly id: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly attempts: readonly {
    readonly outcome: string;
    readonly duration_ms: number;
    readonly error_code: string | null;
  }[];
}

/** A receiver with one webhook and one event sent to it. */
async function sent(
  behaviour: Parameters<Receiver['on']>[1],
  webhook: Readonly<Record<string, unknown>> = {},
): Promise<{ receiver: Receiver; arrivals: () => number[]; final: () => Promise<Delivery> }> {
  const receiver = await startReceiver({ behaviour });
  receivers.push(receiver);
  const type = `timing.${receiver.port}`;
  const { id } = await client.newWebhook(merchantId, receiver.url('/'), { events: [type], ...webhook });
  await client.sendEvent(merchantId, { type });
  const final = () =>
    eventually(async () => {
      const list = await client.get<{ data: Delivery[] }>(`/v1/webhooks/${id}/deliveries`);
      const [delivery] = list.body.data;
      expect(['succeeded', 'failed']).toContain(delivery?.status);
      return (await client.get<Delivery>(`/v1/deliveries/${delivery?.id}`)).body;
    }, 60_000);
  const arrivals = () => {
    const first = receiver.requests[0]?.arrivedMs ?? 0;
    return receiver.requests.map(({ arrivedMs }) => (arrivedMs - first) / 1_000);
  };
  return { receiver, arrivals, final };
}

/** What the queue's timer may be early by (a claim takes up to 250 ms), and what a busy machine may add to each wait. */
const EARLY_S = 0.3;
const LATE_S = 1.5;

function expectWaits(arrivals: readonly number[], waits: readonly number[]): void {
  expect(arrivals).toHaveLength(waits.length + 1);
  for (const [index, wait] of waits.entries()) {
    const waited = (arrivals[index + 1] ?? 0) - (arrivals[index] ?? 0);
    expect(waited).toBeGreaterThan(wait * 0.9 - EARLY_S);
    expect(waited).toBeLessThan(wait * 1.1 + LATE_S);
  }
}

test('retries come after 1, 4 and 16 s, a silent receiver is cut at 10 s, and both are told as they were', async () => {
  const [failing, recovering, silent, dripping, asking, asking429, redirecting] = await Promise.all([
    sent(respond(500)),
    sent(inTurn(respond(500), respond(500), respond(500), respond(204))),
    sent(hang(), { retry_schedule_seconds: [] }),
    sent(dripBody(500), { retry_schedule_seconds: [], timeout_ms: 2_000 }),
    sent(inTurn(respond(503, { headers: { 'retry-after': '3' } }), respond(200)), {
      retry_schedule_seconds: [0],
    }),
    sent(inTurn(respond(429, { headers: { 'retry-after': '2' } }), respond(200)), {
      retry_schedule_seconds: [0],
    }),
    sent(respond(302, { headers: { location: '/elsewhere' } }), { retry_schedule_seconds: [1] }),
  ]);

  const never = await silent.final();
  expect(never).toMatchObject({ status: 'failed', attempt_count: 1, attempts: [{ outcome: 'timeout' }] });
  expect(never.attempts[0]?.duration_ms).toBeGreaterThanOrEqual(10_000 - 150);
  expect(never.attempts[0]?.duration_ms).toBeLessThanOrEqual(10_000 + 150);
  await silent.receiver.waitForNoSockets(1_000);

  const dripped = await dripping.final();
  expect(dripped.attempts).toMatchObject([{ outcome: 'timeout' }]);
  expect(dripped.attempts[0]?.duration_ms).toBeGreaterThanOrEqual(2_000 - 150);
  expect(dripped.attempts[0]?.duration_ms).toBeLessThanOrEqual(2_000 + 150);

  expect(await asking.final()).toMatchObject({ status: 'succeeded', attempt_count: 2 });
  expectWaits(asking.arrivals(), [3]);
  expect(await asking429.final()).toMatchObject({ status: 'succeeded', attempt_count: 2 });
  expectWaits(asking429.arrivals(), [2]);

  expect((await redirecting.final()).attempts.map(({ outcome }) => outcome)).toEqual([
    'redirect',
    'redirect',
  ]);
  expect(redirecting.receiver.requests.every(({ path }) => path === '/')).toBe(true);

  expect(await recovering.final()).toMatchObject({ status: 'succeeded', attempt_count: 4 });
  expectWaits(recovering.arrivals(), [1, 4, 16]);
  expect(await failing.final()).toMatchObject({ status: 'failed', attempt_count: 4 });
  expectWaits(failing.arrivals(), [1, 4, 16]);
}, 60_000);
