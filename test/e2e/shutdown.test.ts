// Doubled: nothing. Observed: the receiver's own record of what it got, exit codes, and the log after a restart.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { after, hang } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';

/** What an operator may count on. */
const EXIT_MS_MAX = 15_000;
const SLOW_MS = 3_000;

let installation: Installation;
let receiver: Receiver;
let client: ApiClient;

beforeAll(async () => {
  installation = await startInstallation({ queue: hasRedis() ? 'redis' : 'postgres' });
  receiver = await startReceiver();
  client = installation.client;
}, 60_000);

afterAll(async () => {
  await installation.close();
  await receiver.close();
}, 30_000);

interface Delivery {
  readonly id: string;
  readonly status: string;
  readonly attempt_count: number;
}

async function attemptsOf(
  webhookId: string,
): Promise<{ outcome: string; number: number; trigger: string }[][]> {
  const { body } = await client.get<{ data: Delivery[] }>(`/v1/webhooks/${webhookId}/deliveries?limit=200`);
  return Promise.all(
    body.data.map(async ({ id }) => {
      const { body: delivery } = await client.get<{
        attempts: { outcome: string; number: number; trigger: string }[];
      }>(`/v1/deliveries/${id}`);
      return delivery.attempts;
    }),
  );
}

test('SIGTERM with deliveries in flight settles them; the rest is sent by the next worker, uncharged', async () => {
  const merchantId = await client.newMerchant();
  receiver.on('/slow', after(SLOW_MS));
  const webhook = await client.newWebhook(merchantId, receiver.url('/slow'));
  const events = Array.from({ length: 100 }, (_, n) => ({
    merchant_id: merchantId,
    type: 'a.b',
    data: { n },
  }));
  await client.post('/v1/events/batch', { events });
  await receiver.waitFor((requests) => requests.some(({ path }) => path === '/slow'), 10_000);

  const [worker] = installation.workers;
  const ended = await worker?.end('SIGTERM');
  expect(ended).toMatchObject({ exitCode: 0 });
  expect(ended?.tookMs).toBeLessThan(EXIT_MS_MAX);

  await installation.startWorker();
  await eventually(async () => {
    const { body } = await client.get<{ data: Delivery[] }>(
      `/v1/webhooks/${webhook.id}/deliveries?limit=200`,
    );
    expect(body.data.map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 'succeeded'));
  }, 30_000);
  // Each was sent once, and no attempt failed or was lost.
  const attempts = await attemptsOf(webhook.id);
  expect(attempts.map((list) => list.map(({ outcome }) => outcome))).toEqual(
    attempts.map(() => ['succeeded']),
  );
  expect(receiver.requests.filter(({ path }) => path === '/slow')).toHaveLength(100);
}, 90_000);

test('a receiver that does not answer in time for the shutdown is an unknown attempt and costs no retry', async () => {
  const merchantId = await client.newMerchant();
  receiver.on('/hangs', hang());
  const webhook = await client.newWebhook(merchantId, receiver.url('/hangs'), {
    timeout_ms: 30_000,
    retry_schedule_seconds: [],
  });
  await client.sendEvent(merchantId);
  await receiver.waitFor((requests) => requests.some(({ path }) => path === '/hangs'), 10_000);

  const ended = await installation.workers.at(-1)?.end('SIGTERM');
  expect(ended).toMatchObject({ exitCode: 0 });
  expect(ended?.tookMs).toBeLessThan(EXIT_MS_MAX);
  expect(await attemptsOf(webhook.id)).toMatchObject([[{ number: 1, outcome: 'unknown' }]]);

  receiver.on('/hangs', after(0));
  await installation.startWorker();
  await eventually(async () => {
    const { body } = await client.get<{ data: Delivery[] }>(`/v1/webhooks/${webhook.id}/deliveries`);
    expect(body.data).toMatchObject([{ status: 'succeeded', attempt_count: 2 }]);
  });
}, 90_000);

test('an API that is told to stop answers what it has taken, and what it answered is there', async () => {
  const merchantId = await client.newMerchant();
  const extra = await installation.startApi();
  const other = installation.clientOf(installation.apis.length - 1);
  const answers = Array.from({ length: 200 }, (_, n) =>
    other
      .post('/v1/events', { merchant_id: merchantId, id: `stop-${n}`, type: 'a.b', data: { n } })
      .then(({ status }) => ({ n, status }))
      .catch(() => ({ n, status: 0 })),
  );
  await answers[0];
  expect(await extra.end('SIGTERM')).toMatchObject({ exitCode: 0 });
  const taken = (await Promise.all(answers)).filter(({ status }) => status === 202);
  expect(taken.length).toBeGreaterThan(0);
  for (const { n } of taken) {
    const again = await client.post('/v1/events', {
      merchant_id: merchantId,
      id: `stop-${n}`,
      type: 'a.b',
      data: { n: -1 },
    });
    expect(again).toMatchObject({ status: 409, body: { code: 'idempotency_conflict' } });
  }
}, 60_000);
