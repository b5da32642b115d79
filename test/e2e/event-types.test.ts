import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

let installation: Installation;
let receiver: Receiver;

beforeAll(async () => {
  installation = await startInstallation({ queue: 'postgres', apis: 2, workers: 1 });
  receiver = await startReceiver({ behaviour: respond(500) });
}, 60_000);

afterAll(async () => {
  await installation.close();
  await receiver.close();
}, 30_000);

async function put(client: ApiClient, name: string, body: object): Promise<void> {
  const answer = await client.call('PUT', `/v1/event-types/${name}?force=true`, {
    bytes: JSON.stringify(body),
  });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
}

describe('two API processes, without waiting in between', () => {
  test('a schema that is changed on one holds for the next event on the other, every time', async () => {
    const [one, other] = [installation.clientOf(0), installation.clientOf(1)];
    const merchantId = await one.newMerchant();
    const post = async (client: ApiClient, round: number): Promise<number> => {
      const event = { merchant_id: merchantId, type: 'fresh.schema', data: { round } };
      return (await client.post('/v1/events', event)).status;
    };
    expect(await post(one, 0)).toBe(202);
    expect(await post(other, 0)).toBe(202);
    for (let round = 1; round <= 20; round++) {
      const [changer, sender] = round % 2 === 0 ? [one, other] : [other, one];
      await put(changer, 'fresh.schema', { schema: { properties: { round: { const: round } } } });
      // What the process still holds would refuse the first and take the second.
      expect([await post(sender, round), await post(sender, round - 1)]).toEqual([202, 422]);
    }
  });

  test('an archived type is refused by the other from the next event on, and taken again after a PUT', async () => {
    const [one, other] = [installation.clientOf(0), installation.clientOf(1)];
    const merchantId = await one.newMerchant();
    const post = async (client: ApiClient): Promise<number> =>
      (await client.post('/v1/events', { merchant_id: merchantId, type: 'fresh.archive', data: {} })).status;
    for (let round = 1; round <= 10; round++) {
      const [changer, sender] = round % 2 === 0 ? [one, other] : [other, one];
      await put(changer, 'fresh.archive', {});
      expect([await post(sender), await post(changer)]).toEqual([202, 202]);
      expect((await changer.delete('/v1/event-types/fresh.archive')).status).toBe(204);
      expect([await post(sender), await post(changer)]).toEqual([422, 422]);
    }
  });

  test('changes that meet are all there, and nobody stands still', async () => {
    const clients = [installation.clientOf(0), installation.clientOf(1)];
    const merchantId = await installation.client.newMerchant();
    const work = Array.from({ length: 60 }, async (_, index) => {
      const client = clients[index % 2] as ApiClient;
      if (index % 3 === 0) return put(client, `meets.${index}`, { schema: { required: ['n'] } });
      await client.sendEvent(merchantId, { type: `meets.${index % 9}.x`, data: { n: index } });
    });
    await Promise.all(work);
    for (const [index, client] of clients.entries()) {
      const event = { merchant_id: merchantId, type: 'meets.0', data: { index } };
      expect(await client.post('/v1/events', event)).toMatchObject({ status: 422 });
    }
  });
});

describe('the schedule of a type', () => {
  async function attempts(
    client: ApiClient,
    deliveryId: string,
  ): Promise<[status: unknown, attempts: number]> {
    const { body } = await client.get(`/v1/deliveries/${deliveryId}`);
    return [body['status'], (body['attempts'] as unknown[]).length];
  }

  async function deliveryOf(client: ApiClient, webhookId: string): Promise<string> {
    const { body } = await client.get<{ data: { id: string }[] }>(`/v1/deliveries?webhook_id=${webhookId}`);
    return body.data[0]?.id ?? '';
  }

  test.each<[name: string, type: number[] | null, fields: Record<string, unknown>, attempts: number]>([
    ['holds for a webhook without waits of its own', [0, 0], {}, 3],
    ['goes before the dialect that never tries again', [0], { dialect: 'fapshi' }, 2],
    ['may be a single attempt', [], {}, 1],
    ["gives way to the webhook's own", [0, 0], { retry_schedule_seconds: [0] }, 2],
    ["gives way to the webhook's own single attempt", [0, 0], { retry_schedule_seconds: [] }, 1],
    ['that there is none leaves the dialect its own', null, { dialect: 'fapshi' }, 1],
  ])('%s', async (name, schedule, fields, expected) => {
    const { client } = installation;
    const type = `schedule.${name.replaceAll(/[^a-z]/g, '_')}`;
    await put(client, type, { retry_schedule_seconds: schedule });
    const merchantId = await client.newMerchant();
    const webhook = await client.newWebhook(merchantId, receiver.url('/fails'), fields);
    await client.sendEvent(merchantId, { type });
    const deliveryId = await deliveryOf(client, webhook.id);
    await eventually(async () => expect(await attempts(client, deliveryId)).toEqual(['failed', expected]));
  });

  test('is the one that stands when the attempt is made', async () => {
    const { client } = installation;
    await put(client, 'schedule.changes', { retry_schedule_seconds: [600, 600, 600] });
    const merchantId = await client.newMerchant();
    const webhook = await client.newWebhook(merchantId, receiver.url('/fails'));
    await client.sendEvent(merchantId, { type: 'schedule.changes' });
    const deliveryId = await deliveryOf(client, webhook.id);
    await eventually(async () => expect(await attempts(client, deliveryId)).toEqual(['retrying', 1]));
    await put(client, 'schedule.changes', { retry_schedule_seconds: [600] });
    expect((await client.post(`/v1/deliveries/${deliveryId}/retry`)).status).toBe(202);
    await eventually(async () => expect(await attempts(client, deliveryId)).toEqual(['failed', 2]));
  });
});
