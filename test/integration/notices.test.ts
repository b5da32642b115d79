// Doubled: the worker that dies, by a store that throws where it would. Observed: what is accepted, by the rows of events
// and notices. Not asserted: the way to the receiver, which test/e2e/operational-events.test.ts follows.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { PostgresNoticeStore } from '#adapters/postgres/notices.js';
import { OPERATOR_ID } from '#domain/operator.js';
import { announce, dropStaleNotices } from '#pipeline/notices.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';

let db: TestDatabase;
let rig: PipelineRig;
let store: PostgresNoticeStore;
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  rig.queue.mode = 'lose';
  store = new PostgresNoticeStore(rig.database);
}, 60_000);

afterAll(async () => {
  await rig.close();
  await db.drop();
});

beforeEach(async () => {
  await rig.database.$executeRaw`DELETE FROM notices`;
  await rig.database.endpoint.updateMany({ data: { status: 'disabled' } });
  await rig.database.merchant.updateMany({ data: { configVersion: { increment: 1 } } });
  merchantId = await rig.merchant();
  endpointId = await rig.endpoint(merchantId, 'http://127.0.0.1:9/', { events: ['payment.*'] });
});

async function note(type: string, count = 1, of = merchantId): Promise<void> {
  const deliveryId = type === 'delivery.exhausted' ? rig.ids.uuid() : null;
  await rig.database.$executeRaw`
    INSERT INTO notices (type, merchant_id, endpoint_id, delivery_id)
    SELECT ${type}, ${of}::uuid, ${endpointId}::uuid, ${deliveryId}::uuid FROM generate_series(1, ${count}::int)`;
}

/** Turns come as fast as they are asked for. */
async function turn(): Promise<number | null> {
  await rig.database.$executeRaw`UPDATE notice_turns SET next_at = now()`;
  return announce(store, rig.acceptor);
}

async function accepted(of: string): Promise<{ type: string; count: number }[]> {
  return rig.database.$queryRaw`
    SELECT type, count(*)::int AS count FROM events WHERE merchant_id = ${of}::uuid GROUP BY type ORDER BY type`;
}

const waiting = async (): Promise<number> =>
  (await rig.database.$queryRaw<object[]>`SELECT FROM notices`).length;

test.each<[string, string[], boolean]>([
  ['its name', ['webhook.failing'], true],
  ['its family', ['payment.*', 'webhook.*'], true],
  ['everything, which does not mean it', ['*'], false],
  ['another one', ['webhook.recovered', 'delivery.*'], false],
])('a merchant’s endpoint that asks for %s', async (_, events, isHeard) => {
  await rig.endpoint(merchantId, 'http://127.0.0.1:9/b', { events });
  await note('webhook.failing');
  expect(await turn()).toBe(1);
  expect(await accepted(merchantId)).toEqual(isHeard ? [{ type: 'webhook.failing', count: 1 }] : []);
  expect(await waiting()).toBe(0);
});

test.each<[string, string[], boolean]>([
  ['everything', ['*'], true],
  ['its family', ['webhook.*'], true],
  ['another one', ['delivery.exhausted'], false],
])('an operator’s endpoint that asks for %s hears of every merchant', async (_, events, isHeard) => {
  const before = (await accepted(OPERATOR_ID))[0]?.count ?? 0;
  await rig.endpoint(OPERATOR_ID, 'http://127.0.0.1:9/operator', { events });
  await note('webhook.failing');
  await turn();
  expect(await accepted(merchantId)).toEqual([]);
  expect((await accepted(OPERATOR_ID))[0]?.count ?? 0).toBe(before + (isHeard ? 1 : 0));
});

test('a worker that dies between the accept and the end of a notice: the next one accepts nothing new', async () => {
  await rig.endpoint(merchantId, 'http://127.0.0.1:9/b', { events: ['webhook.*'] });
  await note('webhook.failing', 3);
  await rig.database.$executeRaw`UPDATE notice_turns SET next_at = now()`;
  const dying = new PostgresNoticeStore(rig.database);
  dying.done = () => Promise.reject(new Error('killed'));
  await expect(announce(dying, rig.acceptor)).rejects.toThrow('killed');
  expect(await waiting()).toBe(3);
  // What it says of the endpoint may have changed meanwhile.
  await rig.database.endpoint.update({ where: { id: endpointId }, data: { url: 'http://127.0.0.1:9/new' } });
  await turn();
  expect(await waiting()).toBe(0);
  expect(await accepted(merchantId)).toEqual([{ type: 'webhook.failing', count: 3 }]);
});

test('one worker a turn, fifty notices a turn, those of endpoints first, then of each merchant in turn', async () => {
  const other = await rig.merchant();
  for (const owner of [merchantId, other])
    await rig.endpoint(owner, 'http://127.0.0.1:9/b', { events: ['delivery.*', 'webhook.*'] });
  await note('delivery.exhausted', 200);
  await note('delivery.exhausted', 5, other);
  await note('webhook.disabled');
  await rig.database.$executeRaw`UPDATE notice_turns SET next_at = now()`;
  const turns = await Promise.all([1, 2, 3].map(() => announce(store, rig.acceptor)));
  expect(turns.filter((count) => count !== null)).toEqual([50]);
  expect(await accepted(other)).toEqual([{ type: 'delivery.exhausted', count: 5 }]);
  expect(await accepted(merchantId)).toEqual([
    { type: 'delivery.exhausted', count: 44 },
    { type: 'webhook.disabled', count: 1 },
  ]);
  expect(await announce(store, rig.acceptor)).toBeNull();
});

test('what waited for a day is dropped; what a merchant that is being erased would hear is, too', async () => {
  await rig.endpoint(merchantId, 'http://127.0.0.1:9/b', { events: ['webhook.*'] });
  await note('webhook.failing', 2);
  await rig.database.$executeRaw`UPDATE notices SET created_at = now() - interval '25 hours'`;
  await note('webhook.failing', 1);
  expect(await dropStaleNotices(store)).toBe(2);
  await rig.database.merchant.update({
    where: { id: merchantId },
    data: { status: 'erasing', configVersion: { increment: 1 } },
  });
  expect(await turn()).toBe(1);
  expect(await waiting()).toBe(0);
  expect(await accepted(merchantId)).toEqual([]);
});
