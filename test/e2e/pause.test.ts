/**
 * That an endpoint's gate holds from outside: pause and resume, the rate limit, the limit of what is in flight, and health.
 *
 * Doubled: nothing; two API and two worker processes on a real database, and a receiver that keeps a ledger. Observed:
 * what arrived and when, on the receiver's clock, and what the API says meanwhile. Not asserted: how fast a backlog
 * drains, and the exact order of requests that are under way at the same time.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, type QueueKind, startInstallation } from '#testkit/processes.js';
import { after, type Behaviour, hang, respond } from '#testkit/receiver/behaviour.js';
import type { ReceivedRequest } from '#testkit/receiver/received-request.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';

interface Delivery {
  readonly id: string;
  readonly event_id: string;
  readonly status: string;
  readonly next_attempt_at: string | null;
}

interface Health {
  readonly state: string;
  readonly consecutive_failures: number;
}

const QUEUES: readonly QueueKind[] = hasRedis() ? ['redis', 'postgres'] : ['postgres'];
if (!hasRedis())
  test.skip('the queue on Redis [skipped: there is no redis-server on the PATH and no REDIS_URL]', () =>
    undefined);

/** A backlog drains at what one sweep takes of it, on a machine that may be busy. */
const DRAIN_TIMEOUT_MS = 40_000;
const TEST_TIMEOUT_MS = 60_000;

describe.each(QUEUES)('the gate of an endpoint, queue on %s', (queue) => {
  let installation: Installation;
  let receiver: Receiver;
  let database: Database;

  beforeAll(async () => {
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

  async function endpoint(
    path: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): Promise<{ readonly id: string; readonly merchantId: string }> {
    const merchantId = await installation.client.newMerchant();
    const { id } = await installation.client.newWebhook(merchantId, receiver.url(path), fields);
    return { id, merchantId };
  }

  function setStatus(webhookId: string, status: string, api = 0): Promise<number> {
    return installation
      .clientOf(api)
      .patch(`/v1/webhooks/${webhookId}`, { status })
      .then((answer) => answer.status);
  }

  /** Posts events to both APIs, in batches one after another. @returns their ids, in the order in which they were accepted */
  async function send(merchantId: string, name: string, count: number, batch = 20): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, n) => `${name}-${String(n).padStart(4, '0')}`);
    for (let start = 0; start < count; start += batch) {
      const events = ids
        .slice(start, start + batch)
        .map((id) => ({ merchant_id: merchantId, id, type: 'payment.success', data: { id } }));
      const client = installation.clientOf((start / batch) % 2);
      const answer = await client.post<{ data: { deliveries: number }[] }>('/v1/events/batch', { events });
      expect(answer.status).toBe(202);
      expect(answer.body.data.map(({ deliveries }) => deliveries)).toEqual(events.map(() => 1));
    }
    return ids;
  }

  function arrived(path: string): readonly ReceivedRequest[] {
    return receiver.requests.filter((request) => request.path === path);
  }

  const eventIdOf = (request: ReceivedRequest): string => String(request.headers['webhook-id']);

  async function listed(webhookId: string, query: string): Promise<Delivery[]> {
    const { body } = await installation.client.get<{ data: Delivery[] }>(
      `/v1/webhooks/${webhookId}/deliveries?limit=200&${query}`,
    );
    return body.data;
  }

  /** Resolves once no attempt of the endpoint is under way. */
  async function landed(webhookId: string): Promise<void> {
    // A flying delivery cannot be told from a waiting one while it is held, so the database is asked.
    await eventually(async () => {
      expect(await inFlight(webhookId)).toBe(0);
    });
  }

  async function inFlight(webhookId: string): Promise<number> {
    const uuid = parseId(ID_PREFIXES.endpoint, webhookId) ?? '';
    const [row] = await database.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int AS count FROM open_deliveries WHERE endpoint_id = ${uuid}::uuid AND lease_until IS NOT NULL`;
    return row?.count ?? 0;
  }

  test(
    'paused under load, it gets nothing and all is held; resumed, all arrives once and the oldest first',
    async () => {
      const path = '/paused';
      const maxInFlight = 10;
      receiver.on(path, after(20));
      const { id, merchantId } = await endpoint(path, { max_in_flight: maxInFlight });
      const first = await send(merchantId, 'before', 60);
      await receiver.waitFor(() => arrived(path).length >= 5, DRAIN_TIMEOUT_MS);
      expect(await setStatus(id, 'paused')).toBe(200);
      await landed(id);
      const before = arrived(path).length;
      expect(before).toBeLessThan(60);

      const second = await send(merchantId, 'while', 60);
      const expectHeld = async (): Promise<void> => {
        expect(arrived(path)).toHaveLength(before);
        const open = (await listed(id, '')).filter(({ status }) => status !== 'succeeded');
        expect(open.map(({ status }) => status)).toEqual(open.map(() => 'held'));
        expect(open.map((delivery) => delivery.next_attempt_at)).toEqual(open.map(() => null));
        expect(open).toHaveLength(120 - before);
        expect(await listed(id, 'status=held')).toEqual(open);
        expect(await listed(id, 'status=pending')).toEqual([]);
        expect((await listed(id, 'status=succeeded')).length).toBe(before);
      };
      await expectHeld();
      // Another endpoint's whole way, from the event to the log, shows that the workers had their chance.
      const witness = await endpoint('/witness');
      await send(witness.merchantId, 'witness', 20, 1);
      await eventually(async () => expect(await listed(witness.id, 'status=succeeded')).toHaveLength(20));
      await expectHeld();
      const [some] = await listed(id, 'status=held');
      expect((await installation.client.post(`/v1/deliveries/${some?.id}/retry`)).status).toBe(409);

      expect(await setStatus(id, 'enabled', 1)).toBe(200);
      const resumedMs = performance.now();
      await receiver.waitFor(() => arrived(path).length > before, 5_000);
      expect(performance.now() - resumedMs).toBeLessThan(3_000);
      await receiver.waitFor(() => arrived(path).length >= 120, DRAIN_TIMEOUT_MS);
      await eventually(async () => expect(await listed(id, 'status=succeeded')).toHaveLength(120));
      const ids = arrived(path).map(eventIdOf);
      const all = [...first, ...second];
      expect([...ids].sort()).toEqual([...all].sort());

      const waited = all.filter((eventId) => !ids.slice(0, before).includes(eventId));
      const late = ids.slice(before).map((eventId, index) => Math.abs(index - waited.indexOf(eventId)));
      // What may be under way at once has no order among itself.
      expect(Math.max(...late)).toBeLessThan(maxInFlight);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'paused and resumed by two APIs at once, under load, it loses nothing and ends as the last one said',
    async () => {
      const path = '/flapping';
      receiver.on(path, after(5));
      const { id, merchantId } = await endpoint(path, { max_in_flight: 50 });
      let isSending = true;
      const sending = send(merchantId, 'flapping', 300, 10).finally(() => {
        isSending = false;
      });
      const flap = async (api: number): Promise<number[]> => {
        const statuses: number[] = [];
        while (isSending || statuses.length < 20) {
          statuses.push(await setStatus(id, statuses.length % 2 === 0 ? 'paused' : 'enabled', api));
        }
        return statuses;
      };
      const answers = (await Promise.all([flap(0), flap(1)])).flat();
      expect(answers).toEqual(answers.map(() => 200));
      const ids = await sending;
      expect(await setStatus(id, 'paused', 0)).toBe(200);
      expect(await setStatus(id, 'enabled', 1)).toBe(200);
      await receiver.waitFor(() => arrived(path).length >= 300, DRAIN_TIMEOUT_MS);
      await eventually(async () => expect(await listed(id, 'status=held')).toEqual([]));
      await eventually(async () => expect(await listed(id, 'status=pending')).toEqual([]));
      expect(arrived(path).map(eventIdOf).sort()).toEqual([...ids].sort());
    },
    TEST_TIMEOUT_MS,
  );

  test('disabled while paused, what was held is cancelled', async () => {
    const { id, merchantId } = await endpoint('/disabled');
    await setStatus(id, 'paused');
    await send(merchantId, 'disabled', 5);
    expect(await listed(id, 'status=held')).toHaveLength(5);
    await setStatus(id, 'disabled', 1);
    expect((await listed(id, '')).map(({ status }) => status)).toEqual(Array(5).fill('cancelled'));
    await setStatus(id, 'enabled');
    expect(arrived('/disabled')).toEqual([]);
  });

  test('a 410 that was in flight when it was paused disables it, and cancels what was held', async () => {
    const path = '/gone';
    receiver.on(path, after(500, respond(410)));
    const { id, merchantId } = await endpoint(path, { max_in_flight: 1 });
    await send(merchantId, 'gone', 3);
    await receiver.waitFor(() => arrived(path).length === 1, 5_000);
    await setStatus(id, 'paused');
    await eventually(async () => {
      const { body } = await installation.client.get(`/v1/webhooks/${id}`);
      expect(body).toMatchObject({ status: 'disabled', disabled_reason: 'gone' });
    });
    await eventually(async () =>
      expect((await listed(id, '')).map(({ status }) => status)).toEqual([
        'cancelled',
        'cancelled',
        'failed',
      ]),
    );
    expect(arrived(path)).toHaveLength(1);
  });

  test(
    'rate_limit_per_second lets its rate through and no more, whatever waits',
    async () => {
      const path = '/limited';
      const rate = 5;
      const { id, merchantId } = await endpoint(path, { rate_limit_per_second: rate });
      await send(merchantId, 'limited', 60);
      await receiver.waitFor(() => arrived(path).length > 0, 5_000);
      const startMs = arrived(path)[0]?.arrivedMs ?? 0;
      await eventually(() => expect(performance.now() - startMs).toBeGreaterThan(3_000));
      const offsets = arrived(path).map(({ arrivedMs }) => arrivedMs - startMs);
      const within = (fromMs: number, ms: number): number =>
        offsets.filter((offset) => offset >= fromMs && offset < fromMs + ms).length;
      // At most a full bucket and what flows into it meanwhile, whichever second is looked at; one may be late by its way.
      for (const offset of offsets) expect(within(offset, 1_000)).toBeLessThanOrEqual(2 * rate + 1);
      expect(within(0, 3_000)).toBeLessThanOrEqual(4 * rate + 1);
      // What waits is looked for once a second, and meanwhile the bucket may run over.
      expect(within(0, 3_000)).toBeGreaterThanOrEqual(1.5 * rate);
      expect(await setStatus(id, 'disabled')).toBe(200);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'max_in_flight holds across two workers',
    async () => {
      const path = '/narrow';
      const { behaviour, peak } = counting(after(300));
      receiver.on(path, behaviour);
      const { id, merchantId } = await endpoint(path, { max_in_flight: 3 });
      await send(merchantId, 'narrow', 18);
      await receiver.waitFor(() => arrived(path).length >= 18, DRAIN_TIMEOUT_MS);
      await eventually(async () => expect(await listed(id, 'status=succeeded')).toHaveLength(18));
      expect(peak()).toBe(3);
    },
    TEST_TIMEOUT_MS,
  );

  test('one that hangs is shown slow within 2 s, before any attempt has ended', async () => {
    const path = '/hanging';
    receiver.on(path, hang());
    const { id, merchantId } = await endpoint(path);
    const health = async (): Promise<Health> =>
      (await installation.client.get<{ health: Health }>(`/v1/webhooks/${id}`)).body.health;
    expect(await health()).toMatchObject({ state: 'idle' });
    await send(merchantId, 'hanging', 2);
    await receiver.waitFor(() => arrived(path).length >= 2, 5_000);
    const arrivedMs = arrived(path)[0]?.arrivedMs ?? 0;
    await eventually(
      async () => expect(await health()).toMatchObject({ state: 'slow', consecutive_failures: 0 }),
      5_000,
    );
    expect(performance.now() - arrivedMs).toBeLessThan(2_000);
  });
});

/** Counts how many requests are unanswered at once. */
function counting(then: Behaviour): { readonly behaviour: Behaviour; readonly peak: () => number } {
  let open = 0;
  let peak = 0;
  return {
    behaviour: (exchange) => {
      open += 1;
      peak = Math.max(peak, open);
      exchange.response.once('close', () => {
        open -= 1;
      });
      then(exchange);
    },
    peak: () => peak,
  };
}
