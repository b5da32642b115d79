import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

let installation: Installation;
let receiver: Receiver;

beforeAll(async () => {
  installation = await startInstallation({ queue: 'postgres', apis: 2, workers: 2 });
  receiver = await startReceiver();
}, 60_000);

afterAll(async () => {
  await installation.close();
  await receiver.close();
}, 30_000);

test('an endpoint made on one API gets an event posted to the other at once, every time', async () => {
  const [one, other] = [installation.clientOf(0), installation.clientOf(1)];
  const merchantId = await one.newMerchant();
  // Both have this merchant cached, without any endpoint.
  expect(await one.sendEvent(merchantId)).toMatchObject({ deliveries: 0 });
  expect(await other.sendEvent(merchantId)).toMatchObject({ deliveries: 0 });
  for (let round = 1; round <= 10; round++) {
    const [maker, sender] = round % 2 === 0 ? [one, other] : [other, one];
    await maker.newWebhook(merchantId, receiver.url(`/round-${round}`));
    expect(await sender.sendEvent(merchantId)).toMatchObject({ deliveries: round });
  }
});

test('a webhook that was disabled or deleted on one API gets nothing from the other', async () => {
  const [one, other] = [installation.clientOf(0), installation.clientOf(1)];
  const merchantId = await one.newMerchant();
  const first = await one.newWebhook(merchantId, receiver.url('/first'));
  const second = await one.newWebhook(merchantId, receiver.url('/second'));
  expect(await other.sendEvent(merchantId)).toMatchObject({ deliveries: 2 });
  await one.patch(`/v1/webhooks/${first.id}`, { status: 'disabled' });
  expect(await other.sendEvent(merchantId)).toMatchObject({ deliveries: 1 });
  await one.delete(`/v1/webhooks/${second.id}`);
  expect(await other.sendEvent(merchantId)).toMatchObject({ deliveries: 0 });
});

test('a key that was revoked on one API is refused by the other from the next request on', async () => {
  const [one, other] = [installation.clientOf(0), installation.clientOf(1)];
  const merchantId = await one.newMerchant();
  const { body } = await one.post('/v1/api-keys', { name: 'short-lived', scopes: ['events:write'] });
  const sender = other.withKey(String(body['key']));
  expect(await sender.sendEvent(merchantId)).toMatchObject({ deliveries: 0 });
  expect((await one.delete(`/v1/api-keys/${String(body['id'])}`)).status).toBe(204);
  const event = { merchant_id: merchantId, type: 'payment.success', data: {} };
  expect(await sender.post('/v1/events', event)).toMatchObject({
    status: 401,
    body: { code: 'unauthenticated' },
  });
  expect(await sender.call('POST', '/v1/events', { bytes: '{' })).toMatchObject({ status: 401 });
});

test('the same event id posted to both APIs at once is one event, and is sent once by two workers', async () => {
  const [one, other] = [installation.clientOf(0), installation.clientOf(1)];
  const merchantId = await one.newMerchant();
  await one.newWebhook(merchantId, receiver.url('/twice'));
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      (index % 2 === 0 ? one : other).post('/v1/events', {
        merchant_id: merchantId,
        id: `twice-${index >> 1}`,
        type: 'payment.success',
        data: { n: index >> 1 },
      }),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  for (const [index, answer] of answers.entries()) expect(answer.body).toEqual(answers[index ^ 1]?.body);
  const got = () =>
    receiver.requests.filter(({ path }) => path === '/twice').map(({ headers }) => headers['webhook-id']);
  await eventually(() => expect(new Set(got()).size).toBe(20));
  await eventually(async () => {
    const { body } = await one.get<{ data: unknown[] }>(
      `/v1/deliveries?merchant_id=${merchantId}&status=succeeded`,
    );
    expect(body.data).toHaveLength(20);
  });
  expect(got()).toHaveLength(20);
});
