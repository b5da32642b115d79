/**
 * Recoveries from outside, under the races that they have to stand.
 *
 * Doubled: nothing; two API and two worker processes on a real database, and a receiver that keeps a ledger. What failed
 * earlier is written by SQL, as thousands of schedules that were spent. Observed: what arrived, and what the API says.
 * Not asserted: how fast a recovery is; `npm run bench:recovery` tells.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { after, failFirst } from '#testkit/receiver/behaviour.js';
import type { ReceivedRequest } from '#testkit/receiver/received-request.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';
import { seedFinal } from '#testkit/seed-final.js';

interface Recovery {
  readonly id: string;
  readonly status: string;
  readonly total: number;
  readonly done: number;
  readonly skipped: number;
}

const DRAIN_TIMEOUT_MS = 60_000;
const TEST_TIMEOUT_MS = 90_000;

let installation: Installation;
let receiver: Receiver;
let database: Database;

beforeAll(async () => {
  [installation, receiver] = await Promise.all([
    startInstallation({ queue: hasRedis() ? 'redis' : 'postgres', apis: 2, workers: 2 }),
    startReceiver(),
  ]);
  database = connectDatabase(installation.database.databaseUrl, 2);
}, 60_000);

afterAll(async () => {
  await database.$disconnect();
  await installation.close();
  await receiver.close();
}, 30_000);

interface Webhook {
  readonly id: string;
  readonly path: string;
  readonly recoveries: string;
  readonly key: string;
}

/** A webhook with so many deliveries whose schedules were spent, and a second one that got the same events. */
async function failedWebhook(name: string, failed: number): Promise<Webhook> {
  const { client } = installation;
  const merchantId = await client.newMerchant();
  const { body } = await client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'a key' });
  const path = `/${name}`;
  const { id } = await client.newWebhook(merchantId, receiver.url(path));
  const other = await client.newWebhook(merchantId, receiver.url(`${path}-other`));
  await seedFinal(database, {
    merchantId: parseId(ID_PREFIXES.merchant, merchantId) ?? '',
    endpointIds: [id, other.id].map((webhook) => parseId(ID_PREFIXES.endpoint, webhook) ?? ''),
    events: failed,
  });
  return { id, path, recoveries: `/v1/webhooks/${id}/recoveries`, key: String(body['key']) };
}

const since = (): string => new Date(Date.now() - 3_600_000).toISOString();

async function begin(webhook: Webhook, fields: Readonly<Record<string, unknown>> = {}): Promise<Recovery> {
  const answer = await installation.client
    .withKey(webhook.key)
    .post<Recovery & Record<string, unknown>>(webhook.recoveries, { since: since(), ...fields });
  if (answer.status !== 202) throw new Error(`answered ${answer.status} ${answer.text}`);
  return answer.body;
}

const read = async (id: string): Promise<Recovery> =>
  (await installation.clientOf(1).get<Recovery & Record<string, unknown>>(`/v1/recoveries/${id}`)).body;

function arrived(path: string): readonly ReceivedRequest[] {
  return receiver.requests.filter((request) => request.path === path);
}

const deliveriesOf = (requests: readonly ReceivedRequest[]): string[] =>
  requests.map(({ headers }) => String(headers['x-posthorn-delivery-id']));

async function countOf(webhook: Webhook): Promise<Record<string, number>> {
  const rows = await database.$queryRaw<{ status: string; count: number }[]>`
    SELECT status, count(*)::int AS count FROM deliveries
    WHERE endpoint_id = ${parseId(ID_PREFIXES.endpoint, webhook.id)}::uuid GROUP BY status`;
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

async function openCount(webhook: Webhook): Promise<number> {
  const [row] = await database.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM open_deliveries
    WHERE endpoint_id = ${parseId(ID_PREFIXES.endpoint, webhook.id)}::uuid`;
  return row?.count ?? Number.NaN;
}

/** Every one of so many deliveries has arrived, each once, and none at the other webhook. */
async function expectEachOnce(webhook: Webhook, count: number): Promise<void> {
  await receiver.waitFor(() => arrived(webhook.path).length >= count, DRAIN_TIMEOUT_MS);
  await eventually(async () => expect(await openCount(webhook)).toBe(0), DRAIN_TIMEOUT_MS);
  const ids = deliveriesOf(arrived(webhook.path));
  expect(ids).toHaveLength(count);
  expect(new Set(ids).size).toBe(count);
  expect(arrived(`${webhook.path}-other`)).toEqual([]);
}

test(
  'a recovery sends 2,000 failed deliveries again, each once, to the one webhook that it is of',
  async () => {
    const webhook = await failedWebhook('all', 2_000);
    const dry = await begin(webhook, { dry_run: true });
    expect(dry).toMatchObject({ id: null, status: 'dry_run', total: 2_000, done: 0, skipped: 0 });
    expect(await countOf(webhook)).toEqual({ failed: 2_000 });
    const made = await begin(webhook);
    expect(made).toMatchObject({ total: 2_000, status: 'running', done: 0 });
    await expectEachOnce(webhook, 2_000);
    expect(await countOf(webhook)).toEqual({ succeeded: 2_000 });
    expect(await read(made.id)).toMatchObject({ status: 'completed', done: 2_000, total: 2_000, skipped: 0 });
    // Numbers go on after the four attempts of the schedule that was spent.
    const numbers = arrived(webhook.path).map(({ headers }) => headers['x-posthorn-attempt']);
    expect(new Set(numbers)).toEqual(new Set(['5']));
  },
  TEST_TIMEOUT_MS,
);

test(
  'one that fails again has its whole schedule before it; what succeeded is replayed and stays succeeded',
  async () => {
    const webhook = await failedWebhook('anew', 1);
    await installation.client.patch(`/v1/webhooks/${webhook.id}`, { retry_schedule_seconds: [0, 0] });
    receiver.on(webhook.path, failFirst(2));
    await begin(webhook);
    await eventually(async () => expect(await countOf(webhook)).toEqual({ succeeded: 1 }), DRAIN_TIMEOUT_MS);
    const [deliveryId = ''] = deliveriesOf(arrived(webhook.path));
    const attempts = async () =>
      (
        await installation.client.get<{ attempts: { number: number; trigger: string }[] }>(
          `/v1/deliveries/${deliveryId}`,
        )
      ).body.attempts.map(({ number, trigger }) => `${number} ${trigger}`);
    expect(await attempts()).toEqual(['5 recovery', '6 retry', '7 retry']);

    receiver.on(webhook.path, failFirst(1_000));
    const replay = await begin(webhook, { statuses: ['succeeded'] });
    expect(replay).toMatchObject({ total: 1 });
    await receiver.waitFor(() => arrived(webhook.path).length >= 6, DRAIN_TIMEOUT_MS);
    await eventually(async () => expect(await openCount(webhook)).toBe(0));
    expect(await attempts()).toEqual([
      '5 recovery',
      '6 retry',
      '7 retry',
      '8 recovery',
      '9 retry',
      '10 retry',
    ]);
    expect(await countOf(webhook)).toEqual({ succeeded: 1 });
  },
  TEST_TIMEOUT_MS,
);

test(
  'two identical recoveries at the same instant, on two APIs: one runs, the other is told which',
  async () => {
    const webhook = await failedWebhook('twice', 300);
    // Slow enough that it still runs when the last of them is looked at, however busy the machine is.
    const body = { since: since(), rate_per_second: 50 };
    const answers = await Promise.all(
      [0, 1, 0, 1].map((api) =>
        installation.clientOf(api).withKey(webhook.key).post(webhook.recoveries, body),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([202, 409, 409, 409]);
    const id = answers.find(({ status }) => status === 202)?.body['id'];
    for (const { status, body: refusal } of answers) {
      if (status === 409) expect(refusal).toMatchObject({ code: 'conflict', data: { recovery_id: id } });
    }
    await expectEachOnce(webhook, 300);
  },
  TEST_TIMEOUT_MS,
);

test(
  'cancelled in the middle, what is open goes on and nothing further is opened',
  async () => {
    const webhook = await failedWebhook('cancelled', 500);
    const { id } = await begin(webhook, { rate_per_second: 50 });
    await eventually(async () => expect((await read(id)).done).toBeGreaterThan(10), DRAIN_TIMEOUT_MS);
    const cancelled = await installation.client.post<Recovery & Record<string, unknown>>(
      `/v1/recoveries/${id}/cancel`,
    );
    expect(cancelled).toMatchObject({ status: 202, body: { status: 'cancelled' } });
    const { done } = cancelled.body;
    expect(done).toBeLessThan(500);
    await expectEachOnce(webhook, done);
    // A later recovery of another webhook shows that the workers had their turns.
    const witness = await failedWebhook('witness', 10);
    await begin(witness);
    await expectEachOnce(witness, 10);
    expect(await read(id)).toMatchObject({ status: 'cancelled', done });
    expect(await countOf(webhook)).toEqual({ succeeded: done, failed: 500 - done });
    const again = await installation.client.post(`/v1/recoveries/${id}/cancel`);
    expect(again).toMatchObject({ status: 409, body: { code: 'conflict' } });
    // The rest can be recovered: nothing is in the way any more.
    expect(await begin(webhook)).toMatchObject({ total: 500 - done });
    await expectEachOnce(webhook, 500);
  },
  TEST_TIMEOUT_MS,
);

test(
  'made for a paused webhook it is held; resumed in the middle, each arrives once',
  async () => {
    const webhook = await failedWebhook('paused', 400);
    const setStatus = (status: string) =>
      installation.clientOf(1).patch(`/v1/webhooks/${webhook.id}`, { status });
    await setStatus('paused');
    const { id } = await begin(webhook, { rate_per_second: 200 });
    await eventually(async () => expect((await read(id)).done).toBeGreaterThan(50), DRAIN_TIMEOUT_MS);
    const held = await installation.client.get<{ data: unknown[] }>(
      `/v1/webhooks/${webhook.id}/deliveries?status=held&limit=200`,
    );
    expect(held.body.data.length).toBeGreaterThan(50);
    expect(arrived(webhook.path)).toEqual([]);
    expect((await setStatus('enabled')).status).toBe(200);
    expect((await read(id)).done).toBeLessThan(400);
    await expectEachOnce(webhook, 400);
    expect(await read(id)).toMatchObject({ status: 'completed', done: 400 });
  },
  TEST_TIMEOUT_MS,
);

test.each<[string, (webhook: Webhook) => Promise<unknown>, number]>([
  ['deleted', ({ id }) => installation.clientOf(1).delete(`/v1/webhooks/${id}`), 404],
  ['disabled', ({ id }) => installation.clientOf(1).patch(`/v1/webhooks/${id}`, { status: 'disabled' }), 409],
])(
  'its webhook %s while it runs, it ends; what was open is cancelled, and nothing of it goes out any more',
  async (what, close, statusNow) => {
    const webhook = await failedWebhook(`closed-${what}`, 400);
    receiver.on(webhook.path, after(20));
    const { id } = await begin(webhook, { rate_per_second: 100 });
    await receiver.waitFor(() => arrived(webhook.path).length >= 10, DRAIN_TIMEOUT_MS);
    await close(webhook);
    await eventually(
      async () => expect(await read(id)).toMatchObject({ status: 'cancelled' }),
      DRAIN_TIMEOUT_MS,
    );
    await eventually(async () => expect(await openCount(webhook)).toBe(0), DRAIN_TIMEOUT_MS);
    const count = await countOf(webhook);
    expect((count['failed'] ?? 0) + (count['succeeded'] ?? 0) + (count['cancelled'] ?? 0)).toBe(400);
    expect(count['failed']).toBeGreaterThan(0);
    expect(arrived(webhook.path)).toHaveLength(count['succeeded'] ?? 0);
    const answer = await installation.client
      .withKey(webhook.key)
      .post(webhook.recoveries, { since: since() });
    expect(answer.status).toBe(statusNow);
  },
  TEST_TIMEOUT_MS,
);

test(
  'the workers killed in the middle, others go on from where it stood: none is left out, none is opened twice',
  async () => {
    const webhook = await failedWebhook('killed', 2_000);
    // Held, so that what arrives twice can only be the recovery's doing and not that of a lease that nobody settled.
    await installation.client.patch(`/v1/webhooks/${webhook.id}`, { status: 'paused' });
    const { id } = await begin(webhook, { rate_per_second: 600 });
    await eventually(async () => expect((await read(id)).done).toBeGreaterThan(200), DRAIN_TIMEOUT_MS);
    await Promise.all(installation.workers.map((worker) => worker.end('SIGKILL')));
    expect((await read(id)).done).toBeLessThan(2_000);
    expect(await openCount(webhook)).toBe((await read(id)).done);
    await Promise.all([installation.startWorker(), installation.startWorker()]);
    await eventually(
      async () => expect(await read(id)).toMatchObject({ status: 'completed' }),
      DRAIN_TIMEOUT_MS,
    );
    expect(await read(id)).toMatchObject({ done: 2_000, skipped: 0 });
    await installation.client.patch(`/v1/webhooks/${webhook.id}`, { status: 'enabled' });
    await expectEachOnce(webhook, 2_000);
  },
  TEST_TIMEOUT_MS,
);
