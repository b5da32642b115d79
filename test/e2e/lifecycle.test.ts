import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, type QueueKind, startInstallation } from '#testkit/processes.js';
import { failFirst, respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';

interface Delivery {
  readonly id: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly event_id: string;
  readonly last_attempt: Readonly<Record<string, unknown>> | null;
}

const QUEUES: readonly QueueKind[] = hasRedis() ? ['redis', 'postgres'] : ['postgres'];
if (!hasRedis())
  test.skip('the queue on Redis [skipped: there is no redis-server on the PATH and no REDIS_URL]', () =>
    undefined);

describe.each(QUEUES)('API and worker, queue on %s', (queue) => {
  let installation: Installation;
  let receiver: Receiver;
  let client: ApiClient;

  beforeAll(async () => {
    [installation, receiver] = await Promise.all([startInstallation({ queue }), startReceiver()]);
    client = installation.client;
  }, 60_000);

  afterAll(async () => {
    await installation.close();
    await receiver.close();
  }, 30_000);

  async function settled(webhookId: string, count = 1): Promise<readonly Delivery[]> {
    return eventually(async () => {
      const { body } = await client.get<{ data: Delivery[] }>(`/v1/webhooks/${webhookId}/deliveries`);
      expect(body.data).toHaveLength(count);
      for (const { status } of body.data) expect(['succeeded', 'failed', 'cancelled']).toContain(status);
      return body.data;
    });
  }

  test('an event is delivered, verified by the published receiver library, and stands in the log', async () => {
    const merchantId = await client.newMerchant();
    const webhook = await client.newWebhook(merchantId, receiver.url('/verified'));
    const event = await client.sendEvent(merchantId, { id: 'pay.1' });
    expect(event).toEqual({ id: 'pay.1', deliveries: 1 });

    const [delivery] = await settled(webhook.id);
    const request = receiver.requests.find(({ path }) => path === '/verified');
    if (request === undefined || delivery === undefined) throw new Error('nothing was delivered');
    const headers = request.headers as Record<string, string>;
    expect(new Webhook(webhook.secret).verify(request.body, headers)).toMatchObject({
      id: 'pay.1',
      type: 'payment.success',
    });
    expect(headers['user-agent']).toMatch(/^Posthorn\/\d+\.\d+\.\d+$/);
    expect(headers['x-posthorn-delivery-id']).toBe(delivery.id);

    const { body } = await client.get(`/v1/deliveries/${delivery.id}`);
    expect(body).toMatchObject({
      status: 'succeeded',
      event_id: 'pay.1',
      attempts: [
        {
          number: 1,
          trigger: 'initial',
          outcome: 'succeeded',
          status_code: 200,
          remote_address: '127.0.0.1',
        },
      ],
    });
    const [attempt] = body['attempts'] as [{ request: { body: string } }];
    expect(attempt.request.body).toBe(request.body.toString());
    expect(JSON.stringify(body)).not.toContain(webhook.secret);
    expect(JSON.stringify(body)).not.toContain(headers['webhook-signature']);
  });

  test('events can be read back, their data byte for byte, by either kind of id', async () => {
    const merchantId = await client.newMerchant();
    const data = '{"amount":1.10,"big":12345678901234567890,"twice":1,"twice":2}';
    const bytes = `{"merchant_id":"${merchantId}","type":"payment.success","id":"read-me","data":${data}}`;
    const sent = await client.call('POST', '/v1/events', { bytes });
    expect(sent.status).toBe(202);
    const made = await client.sendEvent(merchantId);
    const own = await client.get(`/v1/events/read-me?merchant_id=${merchantId}`);
    expect(own).toMatchObject({
      status: 200,
      body: { id: 'read-me', merchant_id: merchantId, deliveries: 0 },
    });
    expect(own.text).toContain(`"data":${data}`);
    expect((await client.get(`/v1/events/${made.id}`)).body).toMatchObject({
      id: made.id,
      data: { amount: '50.00' },
    });
    expect(await client.get('/v1/events/never-sent')).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
    const list = await client.get<{ data: { id: string }[]; next_cursor: string }>(
      `/v1/events?merchant_id=${merchantId}&limit=1`,
    );
    expect(list.body.data).toMatchObject([{ id: made.id }]);
    const rest = await client.get<{ data: { id: string }[]; next_cursor: null }>(
      `/v1/events?merchant_id=${merchantId}&limit=1&cursor=${list.body.next_cursor}`,
    );
    expect(rest.body).toMatchObject({ data: [{ id: 'read-me' }], next_cursor: null });
  });

  test("a secret of the merchant's own, without whsec_, verifies as raw bytes", async () => {
    const merchantId = await client.newMerchant();
    const secret = 'your_webhook_secret';
    const webhook = await client.newWebhook(merchantId, receiver.url('/raw-secret'), { secret });
    expect(webhook.secret).toBe(secret);
    await client.sendEvent(merchantId);
    await settled(webhook.id);
    const request = receiver.requests.find(({ path }) => path === '/raw-secret');
    const verify = () =>
      new Webhook(secret, { format: 'raw' }).verify(
        request?.body ?? '',
        request?.headers as Record<string, string>,
      );
    expect(verify()).toMatchObject({ type: 'payment.success' });
  });

  test('a failing receiver is tried again, and a manual retry of what has failed makes one attempt', async () => {
    const merchantId = await client.newMerchant();
    receiver.on('/flaky', failFirst(3));
    const webhook = await client.newWebhook(merchantId, receiver.url('/flaky'), {
      retry_schedule_seconds: [0],
    });
    await client.sendEvent(merchantId);
    const [failed] = await settled(webhook.id);
    expect(failed).toMatchObject({
      status: 'failed',
      attempt_count: 2,
      last_attempt: { outcome: 'http_error', status_code: 500 },
    });

    const once = await client.post(`/v1/deliveries/${failed?.id}/retry`);
    expect(once.status).toBe(202);
    await eventually(async () => {
      const [again] = await settled(webhook.id);
      expect(again).toMatchObject({ status: 'failed', attempt_count: 3 });
    });
    await eventually(async () => {
      const { status } = await client.post(`/v1/deliveries/${failed?.id}/retry`);
      expect(status).toBe(202);
    });
    await eventually(async () => {
      const [again] = await settled(webhook.id);
      expect(again).toMatchObject({ status: 'succeeded', attempt_count: 4 });
    });
    const { body } = await client.get<{ attempts: { trigger: string; number: number }[] }>(
      `/v1/deliveries/${failed?.id}`,
    );
    expect(body.attempts.map(({ trigger, number }) => [number, trigger]).sort()).toEqual([
      [1, 'initial'],
      [2, 'retry'],
      [3, 'manual'],
      [4, 'manual'],
    ]);
  });

  test('an endpoint that is gone is disabled, and what was open for it is cancelled', async () => {
    const merchantId = await client.newMerchant();
    receiver.on('/gone', respond(410));
    receiver.on('/waits', respond(503));
    const webhook = await client.newWebhook(merchantId, receiver.url('/waits'), {
      retry_schedule_seconds: [3600],
    });
    await client.sendEvent(merchantId);
    await eventually(async () => {
      const { body } = await client.get<{ data: Delivery[] }>(
        `/v1/webhooks/${webhook.id}/deliveries?status=retrying`,
      );
      expect(body.data).toHaveLength(1);
    });
    await client.patch(`/v1/webhooks/${webhook.id}`, { url: receiver.url('/gone') });
    await client.sendEvent(merchantId);
    const deliveries = await settled(webhook.id, 2);
    expect(deliveries.map(({ status }) => status).sort()).toEqual(['cancelled', 'failed']);
    const { body } = await client.get(`/v1/webhooks/${webhook.id}`);
    expect(body).toMatchObject({ status: 'disabled', disabled_reason: 'gone' });
    expect(await client.sendEvent(merchantId)).toMatchObject({ deliveries: 0 });
    const enabled = await client.patch(`/v1/webhooks/${webhook.id}`, { status: 'enabled' });
    expect(enabled.body).toMatchObject({ status: 'enabled', disabled_reason: null });
  });

  test('a batch reaches every endpoint that matches, each event once', async () => {
    const merchantId = await client.newMerchant();
    const all = await client.newWebhook(merchantId, receiver.url('/batch-all'));
    const some = await client.newWebhook(merchantId, receiver.url('/batch-some'), { events: ['refund.*'] });
    const events = Array.from({ length: 500 }, (_, index) => ({
      merchant_id: merchantId,
      id: `batch-${index}`,
      type: index % 10 === 0 ? 'refund.processed' : 'payment.success',
      data: { index },
    }));
    const answer = await client.post<{ data: { id: string; deliveries: number }[] }>('/v1/events/batch', {
      events,
    });
    expect(answer.status).toBe(202);
    expect(answer.body.data.map(({ id }) => id)).toEqual(events.map(({ id }) => id));
    const again = await client.post('/v1/events/batch', { events });
    expect(again.body).toEqual(answer.body);
    await eventually(() => {
      const at = (path: string) => receiver.requests.filter((request) => request.path === path).length;
      expect([at('/batch-all'), at('/batch-some')]).toEqual([500, 50]);
    }, 30_000);
    await eventually(async () => {
      for (const { id } of [all, some]) {
        const { body } = await client.get<{ data: Delivery[] }>(
          `/v1/webhooks/${id}/deliveries?status=pending`,
        );
        expect(body.data).toEqual([]);
      }
    });
    const ids = receiver.requests
      .filter(({ path }) => path === '/batch-all')
      .map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(500);
  });
});
