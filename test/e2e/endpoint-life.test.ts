/**
 * What a merchant does to an endpoint while deliveries flow: secrets rotated, data filtered, answers judged, deliveries
 * scheduled, and changes that meet an attempt under way.
 *
 * Doubled: nothing; two API and two worker processes on a real database, every change made on one API and looked at from
 * the other. Observed: what arrived, signatures checked by the book, and what the API says. Not asserted: how soon.
 */
import { createHmac, createPublicKey, type JsonWebKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { parseId } from '#domain/ids.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Behaviour, failFirst, inTurn, respond } from '#testkit/receiver/behaviour.js';
import type { ReceivedRequest } from '#testkit/receiver/received-request.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';

interface Attempt {
  readonly number: number;
  readonly outcome: string;
  readonly status_code: number | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly request: { readonly url: string; readonly body: string };
}

interface Delivery {
  readonly id: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly next_attempt_at: string | null;
  readonly last_attempt: Partial<Attempt> | null;
  readonly attempts: readonly Attempt[];
}

interface Secrets {
  readonly secret: string;
  readonly public_key?: string;
  readonly previous: readonly { readonly secret: string; readonly expires_at: string }[];
}

type Fields = Readonly<Record<string, unknown>>;

const DAY_MS = 86_400_000;
/** A request that was signed just before a secret ended may still be on its way, on a machine that may be busy. */
const ON_ITS_WAY_MS = 1_000;

/** A hint that went down with its worker hides a delivery from the sweep for 15 s. */
const HINT_LOST_MS = 25_000;

let installation: Installation;
let receiver: Receiver;
let database: Database;

beforeAll(async () => {
  const queue = hasRedis() ? 'redis' : 'postgres';
  [installation, receiver] = await Promise.all([
    startInstallation({ queue, apis: 2, workers: 2 }),
    startReceiver(),
  ]);
  database = connectDatabase(installation.database.databaseUrl, 1);
}, 60_000);

afterAll(async () => {
  await database.$disconnect();
  await installation.close();
  await receiver.close();
}, 30_000);

interface Endpoint {
  readonly id: string;
  readonly secret: string;
  readonly merchantId: string;
  readonly path: string;
}

let endpoints = 0;

async function endpoint(behaviour: Behaviour, fields: Fields = {}): Promise<Endpoint> {
  const merchantId = await installation.clientOf(0).newMerchant();
  const path = `/endpoint-${++endpoints}`;
  receiver.on(path, behaviour);
  const made = await installation.clientOf(0).newWebhook(merchantId, receiver.url(path), fields);
  return { ...made, merchantId, path };
}

async function patch({ id }: Pick<Endpoint, 'id'>, fields: Fields): Promise<void> {
  expect(await installation.clientOf(0).patch(`/v1/webhooks/${id}`, fields)).toMatchObject({ status: 200 });
}

function send({ merchantId }: Endpoint, fields: Fields = {}): Promise<{ id: string; deliveries: number }> {
  return installation.clientOf(1).sendEvent(merchantId, fields);
}

function arrived({ path }: Pick<Endpoint, 'path'>): readonly ReceivedRequest[] {
  return receiver.requests.filter((request) => request.path === path);
}

async function onlyDelivery({ id }: Pick<Endpoint, 'id'>): Promise<Delivery> {
  const client = installation.clientOf(1);
  const list = await client.get<{ data: Delivery[] }>(`/v1/deliveries?webhook_id=${id}`);
  expect(list.body.data).toHaveLength(1);
  return (await client.get<Delivery>(`/v1/deliveries/${list.body.data[0]?.id}`)).body;
}

function reaches(of: Pick<Endpoint, 'id'>, expected: object, timeoutMs?: number): Promise<Delivery> {
  return eventually(async () => {
    const delivery = await onlyDelivery(of);
    expect(delivery).toMatchObject(expected);
    return delivery;
  }, timeoutMs);
}

/** A receiver that answers only when it is told to. */
function held(): { readonly behaviour: Behaviour; readonly answer: (statusCode: number) => void } {
  const released = Promise.withResolvers<number>();
  return {
    behaviour: (exchange) => void released.promise.then((statusCode) => respond(statusCode)(exchange)),
    answer: released.resolve,
  };
}

/** Which of the secrets, by position, have signed in each of the default dialect's schemes. */
function signersOf({ headers, body }: ReceivedRequest, secrets: readonly string[]) {
  const standard = (secret: string): string =>
    createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64'))
      .update(`${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.`)
      .update(body)
      .digest('base64');
  const hex = (secret: string): string => createHmac('sha256', secret).update(body).digest('hex');
  return {
    standard: String(headers['webhook-signature'])
      .split(' ')
      .map((part) => secrets.findIndex((secret) => part === `v1,${standard(secret)}`)),
    hex: secrets.findIndex((secret) => headers['x-posthorn-signature'] === `sha256=${hex(secret)}`),
  };
}

describe('secrets', () => {
  test('rotated twice within the overlap: all sign, the oldest alone where there is room for one; then the last', async () => {
    const webhook = await endpoint(failFirst(1), { retry_schedule_seconds: [1] });
    const secrets = [webhook.secret];
    const rotate = async (api: number): Promise<Secrets> => {
      const answer = await installation
        .clientOf(api)
        .post<Secrets>(`/v1/webhooks/${webhook.id}/secret/rotate`, { overlap_seconds: 4 });
      expect(answer.status).toBe(200);
      secrets.push(answer.body.secret);
      return answer.body;
    };
    const signers = (index: number) => {
      const request = arrived(webhook)[index];
      if (request === undefined) throw new Error(`request ${index} has not arrived`);
      return signersOf(request, secrets);
    };
    // Fails, and waits a second for its second attempt, which is made after the first rotation.
    await send(webhook);
    expect(await eventually(() => signers(0))).toEqual({ standard: [0], hex: 0 });
    await rotate(1);
    expect(await eventually(() => signers(1))).toEqual({ standard: [0, 1], hex: 0 });
    const { previous } = await rotate(0);
    await send(webhook);
    expect(await eventually(() => signers(2))).toEqual({ standard: [0, 1, 2], hex: 0 });

    const third = await installation.clientOf(0).post(`/v1/webhooks/${webhook.id}/secret/rotate`);
    expect(third).toMatchObject({ status: 409, body: { code: 'conflict' } });

    // Nothing tells the workers that an overlap is over.
    await eventually(async () => {
      await send(webhook);
      expect(signers(arrived(webhook).length - 1)).toEqual({ standard: [2], hex: 2 });
    });
    const [newer, older] = previous.map(({ expires_at }) => Date.parse(expires_at));
    for (const request of arrived(webhook)) {
      const { standard } = signersOf(request, secrets);
      const sentLately = (endMs: number | undefined) =>
        request.arrivedAtUnixMs > (endMs ?? 0) + ON_ITS_WAY_MS;
      expect(standard.includes(0) && sentLately(older)).toBe(false);
      expect(standard.includes(1) && sentLately(newer)).toBe(false);
      expect(standard).not.toContain(-1);
    }
    const read = await installation.clientOf(1).get<Secrets>(`/v1/webhooks/${webhook.id}/secret`);
    expect(read.body).toEqual({ secret: secrets[2], previous: [] });

    // The sweep of a worker begins with its start.
    await installation.startWorker();
    await eventually(async () => {
      const endpointId = parseId('wh', webhook.id) ?? '';
      expect(await database.endpointSecret.count({ where: { endpointId } })).toBe(1);
    });
  }, 40_000);

  test('of a pair: what arrives verifies with the published key, and with the next one after a rotation', async () => {
    const webhook = await endpoint(respond(), { signatures: [{ scheme: 'standard-webhooks-ed25519' }] });
    expect(webhook.secret).toMatch(/^whpk_/);
    const published = async (publicKey: string) => {
      const { body } = await installation
        .clientOf(1)
        .withKey(null)
        .get<{ keys: JsonWebKey[] }>('/.well-known/jwks.json');
      const x = Buffer.from(publicKey.slice('whpk_'.length), 'base64').toString('base64url');
      return createPublicKey({ key: body.keys.find((key) => key.x === x) as JsonWebKey, format: 'jwk' });
    };
    const verified = (request: ReceivedRequest | undefined, keys: ReturnType<typeof createPublicKey>[]) => {
      const { headers, body } = request as ReceivedRequest;
      const before = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.`;
      const signed = Buffer.concat([Buffer.from(before), body]);
      const parts = String(headers['webhook-signature']).split(' ');
      expect(headers['x-posthorn-signature']).toBeUndefined();
      return parts.map((part) =>
        keys.findIndex((key) => verify(null, signed, key, Buffer.from(part.replace(/^v1a,/, ''), 'base64'))),
      );
    };
    const first = await published(webhook.secret);
    await send(webhook);
    await eventually(() => expect(arrived(webhook)).toHaveLength(1));
    expect(verified(arrived(webhook)[0], [first])).toEqual([0]);

    const { body } = await installation
      .clientOf(0)
      .post<Secrets>(`/v1/webhooks/${webhook.id}/secret/rotate`, {});
    const second = await published(body.public_key ?? '');
    await send(webhook);
    await eventually(() => expect(arrived(webhook)).toHaveLength(2));
    expect(verified(arrived(webhook)[1], [first, second])).toEqual([0, 1]);
    const delivery = await installation
      .clientOf(0)
      .get<{ data: { id: string }[] }>(`/v1/webhooks/${webhook.id}/deliveries?limit=1`);
    const log = await installation.clientOf(0).get(`/v1/deliveries/${delivery.body.data[0]?.id}`);
    expect(log.text).not.toContain('v1a,');
  });
});

describe('a payload filter', () => {
  test('chooses at accept, follows each change at once, and a repeat answers as the first time', async () => {
    const webhook = await endpoint(respond(), {
      filter: [
        { pointer: '/currency', in: ['GHS', 'NGN'] },
        { pointer: '/customer/vip', equals: true },
      ],
    });
    const plain = await installation.clientOf(0).newWebhook(webhook.merchantId, receiver.url('/all'));
    const wanted = { currency: 'NGN', customer: { vip: true } };
    const first = await send(webhook, { id: 'filtered', data: wanted });
    expect(first).toEqual({ id: 'filtered', deliveries: 2 });
    expect(await send(webhook, { data: { ...wanted, currency: 'USD' } })).toMatchObject({ deliveries: 1 });
    expect(await send(webhook, { data: { currency: 'NGN' } })).toMatchObject({ deliveries: 1 });

    await patch(webhook, { filter: [{ pointer: '/customer', equals: null }] });
    expect(await send(webhook, { data: { customer: null } })).toMatchObject({ deliveries: 2 });
    expect(await send(webhook, { data: {} })).toMatchObject({ deliveries: 1 });
    expect(await send(webhook, { id: 'filtered', data: wanted })).toEqual(first);
    await patch(webhook, { filter: null });
    expect(await send(webhook, { data: {} })).toMatchObject({ deliveries: 2 });

    const got = await eventually(async () => {
      const { body } = await installation
        .clientOf(1)
        .get<{ data: { event_id: string }[] }>(`/v1/webhooks/${webhook.id}/deliveries?status=succeeded`);
      expect(body.data).toHaveLength(3);
      return body.data;
    });
    expect(got.map(({ event_id }) => event_id)).toContain('filtered');
    const all = await installation
      .clientOf(1)
      .get<{ data: unknown[] }>(`/v1/webhooks/${plain.id}/deliveries`);
    expect(all.body.data).toHaveLength(6);
  });

  test('compares numbers to the last digit, in single events and in batches', async () => {
    const webhook = await endpoint(respond());
    const filter = '{"filter":[{"pointer":"/id","in":[9007199254740993,1.10]}]}';
    const patched = await installation
      .clientOf(0)
      .call('PATCH', `/v1/webhooks/${webhook.id}`, { bytes: filter });
    expect(patched).toMatchObject({ status: 200 });
    expect(patched.text).toContain('9007199254740993');
    const texts = ['9007199254740993', '9007199254740992', '1.1', '110e-2', '"1.1"', '1.11', '1,"id":1.1'];
    const events = texts.map(
      (id) => `{"merchant_id":"${webhook.merchantId}","type":"payment.success","data":{"id":${id}}}`,
    );
    const batch = await installation
      .clientOf(1)
      .call<{ data: { deliveries: number }[] }>('POST', '/v1/events/batch', {
        bytes: `{"events":[${events.join()}]}`,
      });
    expect(batch.body.data.map(({ deliveries }) => deliveries)).toEqual([1, 0, 1, 1, 0, 0, 1]);
  });
});

describe('an acknowledgement policy', () => {
  const json = (value: unknown) => respond(200, { body: JSON.stringify(value) });

  test('a 200 that lacks what is required has failed, and is tried again until it does not', async () => {
    const webhook = await endpoint(
      inTurn(json({ success: false }), respond(200, { body: 'OK' }), json({ success: true })),
      { required_response: { success: true }, retry_schedule_seconds: [0, 0, 0] },
    );
    await send(webhook);
    const { attempts } = await reaches(webhook, { status: 'succeeded', attempt_count: 3 });
    const told = attempts
      .map(({ number, outcome, status_code, error_code }) => [number, outcome, status_code, error_code])
      .sort();
    expect(told).toEqual([
      [1, 'invalid_response', 200, 'response_mismatch'],
      [2, 'invalid_response', 200, 'response_mismatch'],
      [3, 'succeeded', 200, null],
    ]);
  });

  test('an answer that is longer than what is kept of it has failed, which counts against health', async () => {
    const webhook = await endpoint(json({ success: true, fill: 'x'.repeat(16_384) }), {
      required_response: { success: true },
      retry_schedule_seconds: [],
    });
    await send(webhook);
    const { attempts } = await reaches(webhook, {
      status: 'failed',
      last_attempt: { outcome: 'invalid_response', status_code: 200, error_code: 'response_mismatch' },
    });
    expect(attempts[0]?.error_message).toMatch(/longer/);
    const { body } = await installation.clientOf(1).get(`/v1/webhooks/${webhook.id}`);
    expect(body).toMatchObject({ health: { state: 'failing', consecutive_failures: 1 } });
    await patch(webhook, { required_response: null });
    const delivery = await onlyDelivery(webhook);
    expect((await installation.clientOf(1).post(`/v1/deliveries/${delivery.id}/retry`)).status).toBe(202);
    await reaches(webhook, { status: 'succeeded', attempt_count: 2 });
  });

  test('success_statuses are the successes and no others; a redirect among them is not followed', async () => {
    const statuses = { success_statuses: [302, 409], retry_schedule_seconds: [0] };
    const conflict = await endpoint(inTurn(respond(200), respond(409)), statuses);
    const redirect = await endpoint(
      respond(302, { headers: { location: receiver.url('/elsewhere') } }),
      statuses,
    );
    await Promise.all([send(conflict), send(redirect)]);
    const { attempts } = await reaches(conflict, { status: 'succeeded', attempt_count: 2 });
    expect(attempts.map(({ outcome, status_code }) => [outcome, status_code]).sort()).toEqual([
      ['http_error', 200],
      ['succeeded', 409],
    ]);
    await reaches(redirect, { status: 'succeeded', attempt_count: 1, last_attempt: { status_code: 302 } });
    expect(arrived({ path: '/elsewhere' })).toHaveLength(0);
  });
});

describe('a scheduled event', () => {
  const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

  test('waits for its time, through the end of every worker, and not longer', async () => {
    const webhook = await endpoint(respond());
    const deliverAt = inMs(4_000);
    await send(webhook, { deliver_at: deliverAt });
    expect(await onlyDelivery(webhook)).toMatchObject({
      status: 'pending',
      attempt_count: 0,
      next_attempt_at: deliverAt,
    });
    await Promise.all(installation.workers.map((worker) => worker.end('SIGKILL')));
    await installation.startWorker();
    await reaches(webhook, { status: 'succeeded', attempt_count: 1 }, HINT_LOST_MS);
    const [request] = arrived(webhook);
    const lateMs = (request?.arrivedAtUnixMs ?? 0) - Date.parse(deliverAt);
    // The queue's timer and the database's clock may differ by what a claim may be early.
    expect(lateMs).toBeGreaterThanOrEqual(-250);
    expect(lateMs).toBeLessThan(HINT_LOST_MS);
  }, 45_000);

  test('far ahead can be cancelled, or brought forward', async () => {
    const cancelled = await endpoint(respond());
    const brought = await endpoint(respond());
    for (const webhook of [cancelled, brought]) {
      const deliverAt = inMs(29 * DAY_MS);
      expect(await send(webhook, { deliver_at: deliverAt })).toMatchObject({ deliveries: 1 });
      expect(await onlyDelivery(webhook)).toMatchObject({ status: 'pending', next_attempt_at: deliverAt });
    }
    const call = async (webhook: Endpoint, name: string) =>
      (await installation.clientOf(0).post(`/v1/deliveries/${(await onlyDelivery(webhook)).id}/${name}`))
        .status;
    expect(await call(cancelled, 'cancel')).toBe(202);
    expect(await call(brought, 'retry')).toBe(202);
    await reaches(brought, { status: 'succeeded', attempt_count: 1 });
    await reaches(cancelled, { status: 'cancelled', attempt_count: 0, next_attempt_at: null });
    expect(arrived(cancelled)).toHaveLength(0);
  });

  test('in the past is due now; thirty days and a second ahead is refused; its time is part of its content', async () => {
    const webhook = await endpoint(respond());
    const event = { id: 'scheduled', deliver_at: '2020-01-01T00:00:00Z' };
    await send(webhook, event);
    await reaches(webhook, { status: 'succeeded' });
    const post = (fields: Fields) =>
      installation
        .clientOf(0)
        .post('/v1/events', { merchant_id: webhook.merchantId, type: 'a', data: {}, ...fields });
    expect(await post({ deliver_at: inMs(30 * DAY_MS + 1_000) })).toMatchObject({
      status: 422,
      body: { data: { errors: [{ path: 'deliver_at' }] } },
    });
    expect(await post({ deliver_at: inMs(30 * DAY_MS - 60_000) })).toMatchObject({ status: 202 });
    expect(await send(webhook, event)).toEqual({ id: 'scheduled', deliveries: 1 });
    for (const deliver_at of ['2020-01-01T00:00:01Z', undefined]) {
      const again = await post({
        ...{ id: 'scheduled', type: 'payment.success', data: { amount: '50.00' } },
        deliver_at,
      });
      expect(again).toMatchObject({ status: 409, body: { code: 'idempotency_conflict' } });
    }
  });
});

describe('a change that meets a delivery', () => {
  test('of the URL between attempts: the new one is used, and the log shows both', async () => {
    const webhook = await endpoint(respond(500), { retry_schedule_seconds: [3_600] });
    const moved = { path: `${webhook.path}-moved` };
    await send(webhook);
    const { id } = await reaches(webhook, { status: 'retrying', attempt_count: 1 });
    await patch(webhook, { url: receiver.url(moved.path) });
    expect((await installation.clientOf(1).post(`/v1/deliveries/${id}/retry`)).status).toBe(202);
    const { attempts } = await reaches(webhook, { status: 'succeeded', attempt_count: 2 });
    const urls = attempts.toSorted((a, b) => a.number - b.number).map(({ request }) => request.url);
    expect(urls).toEqual([receiver.url(webhook.path), receiver.url(moved.path)]);
    expect([arrived(webhook).length, arrived(moved).length]).toEqual([1, 1]);
    expect(arrived(moved)[0]?.body).toEqual(arrived(webhook)[0]?.body);
  });

  test('of the format between attempts: the body stays, and the next event has the new one', async () => {
    const webhook = await endpoint(failFirst(1), { retry_schedule_seconds: [3_600] });
    await send(webhook);
    const { id } = await reaches(webhook, { status: 'retrying', attempt_count: 1 });
    await patch(webhook, { payload_format: 'event-data', signatures: [{ scheme: 'hex' }] });
    expect((await installation.clientOf(1).post(`/v1/deliveries/${id}/retry`)).status).toBe(202);
    const { attempts } = await reaches(webhook, { status: 'succeeded', attempt_count: 2 });
    const [first, second] = arrived(webhook);
    expect(second?.body).toEqual(first?.body);
    expect(new Set(attempts.map(({ request }) => request.body)).size).toBe(1);
    // Signatures follow the endpoint as it is now.
    expect([first?.headers['x-signature'], second?.headers['x-signature']]).toEqual([
      undefined,
      expect.any(String),
    ]);
    await send(webhook);
    await eventually(() => {
      expect(arrived(webhook)[2]?.body.toString()).toBe(
        '{"event":"payment.success","data":{"amount":"50.00"}}',
      );
    });
  });

  test.each([
    ['fails', 500, 'cancelled'],
    ['succeeds', 200, 'succeeded'],
  ])(
    'deleted in flight, and then it %s: the attempt is recorded, and no further one is made',
    async (_, statusCode, status) => {
      const { behaviour, answer } = held();
      const webhook = await endpoint(behaviour, { retry_schedule_seconds: [0, 0] });
      await send(webhook);
      await eventually(() => expect(arrived(webhook)).toHaveLength(1));
      const deleted = await installation.clientOf(0).delete(`/v1/webhooks/${webhook.id}`);
      expect(deleted.status).toBe(204);
      answer(statusCode);
      const { attempts } = await reaches(webhook, { status, attempt_count: 1, next_attempt_at: null });
      expect(attempts).toMatchObject([{ number: 1, status_code: statusCode }]);
      expect(await installation.clientOf(1).get(`/v1/webhooks/${webhook.id}`)).toMatchObject({ status: 404 });
      // Final, so that nothing is left that could be sent.
      expect(
        await database.$queryRaw`SELECT delivery_id FROM open_deliveries o JOIN endpoints e ON e.id = o.endpoint_id
        WHERE e.deleted_at IS NOT NULL`,
      ).toEqual([]);
      expect(arrived(webhook)).toHaveLength(1);
    },
  );
});
