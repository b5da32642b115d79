// Observed: rows, after batches as workers take them. Time passes by writing into a row what a later moment would find.
// Not asserted: how long a batch takes.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { RecoverableStatus } from '#pipeline/recover.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database } from './database.js';
import {
  addDelivery,
  addEndpoint,
  addMerchant,
  DAY_ONE_MS,
  DAY_TWO_MS,
  type DeliveryFixture,
  openRow,
  statusOf,
  testIds,
} from './delivery-log-fixtures.js';
import { ensurePartitions } from './partitions.js';
import { PostgresRecoveryStore } from './recover-batch.js';
import { countRecoverable, recoveryMoment, type RecoveryScope } from './recoverable.js';

let testDatabase: TestDatabase;
let db: Database;
let store: PostgresRecoveryStore;
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 8);
  store = new PostgresRecoveryStore(db);
  await ensurePartitions(db, DAY_ONE_MS);
  merchantId = await addMerchant(db);
}, 60_000);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

beforeEach(async () => {
  await db.recovery.deleteMany();
  endpointId = await addEndpoint(db, merchantId);
});

async function add(fixture: Partial<DeliveryFixture> = {}): Promise<string> {
  const { id } = await addDelivery(db, {
    merchantId,
    endpointId,
    status: 'failed',
    attemptCount: 4,
    ...fixture,
  });
  return id;
}

async function scopeOf(scope: Partial<RecoveryScope> = {}): Promise<RecoveryScope> {
  return {
    endpointId,
    merchantId,
    since: new Date(DAY_ONE_MS),
    until: new Date(DAY_TWO_MS + 86_400_000),
    statuses: ['failed'],
    eventTypes: [],
    asOf: await recoveryMoment(db),
    ...scope,
  };
}

async function begin(
  scope: Partial<RecoveryScope> = {},
  ratePerSecond: number | null = null,
): Promise<string> {
  const { statuses, eventTypes, asOf, ...times } = await scopeOf(scope);
  const { id } = await db.recovery.create({
    data: {
      id: testIds.uuid(),
      ...times,
      statuses: [...statuses],
      eventTypes: [...eventTypes],
      createdAt: asOf,
      status: 'running',
      total: 0,
      ratePerSecond,
    },
  });
  return id;
}

async function runAll(deliveriesMax = 3): Promise<void> {
  while ((await store.recoverBatch(deliveriesMax)) !== null);
}

const progress = async (id: string) => {
  const { status, done, skipped } = await db.recovery.findUniqueOrThrow({ where: { id } });
  return { status, done: Number(done), skipped: Number(skipped) };
};

async function openIds(): Promise<string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT delivery_id AS id FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid ORDER BY due_at`;
  return rows.map(({ id }) => id);
}

test('opens deliveries again with the schedule anew, over two days, the oldest first; attempts go on being numbered', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 7; n++) ids.push(await add({ createdAtMs: (n < 4 ? DAY_ONE_MS : DAY_TWO_MS) + n }));
  const never = await add({ createdAtMs: DAY_TWO_MS + 50, status: 'cancelled', attemptCount: 0 });
  const id = await begin({ statuses: ['failed', 'cancelled'] });
  await runAll();
  expect(await progress(id)).toEqual({ status: 'completed', done: 8, skipped: 0 });
  expect((await openIds()).toSorted()).toEqual([...ids, never].toSorted());
  expect(await openRow(db, ids[0] as string)).toEqual({
    due: true,
    hinted: false,
    hintNumber: expect.any(Number),
    trigger: 'recovery',
    single: false,
    attemptNumber: 4,
    dataBytes: 15,
  });
  expect(await statusOf(db, ids[0] as string)).toBe('retrying');
  expect(await statusOf(db, never)).toBe('pending');
  const [row] = await db.$queryRaw<object[]>`
    SELECT d.completed_at, d.error_code, o.failures, o.recovery_id, o.hint_number > 60000000 AS is_new_hint
    FROM deliveries d JOIN open_deliveries o ON o.delivery_id = d.id WHERE d.id = ${ids[0]}::uuid`;
  expect(row).toEqual({
    completed_at: null,
    error_code: null,
    failures: 0,
    recovery_id: id,
    is_new_hint: true,
  });
});

test.each<[string, Partial<DeliveryFixture>, Partial<RecoveryScope>, boolean]>([
  ['another status', { status: 'cancelled' }, {}, false],
  ['a status that was asked for', { status: 'cancelled' }, { statuses: ['succeeded', 'cancelled'] }, true],
  ['succeeded', { status: 'succeeded' }, { statuses: ['succeeded'] }, true],
  ['an open one', { status: 'retrying' }, { statuses: ['failed', 'cancelled', 'succeeded'] }, false],
  ['another type', { eventType: 'refund.processed' }, { eventTypes: ['payment.success'] }, false],
  ['one of the types', { eventType: 'refund.processed' }, { eventTypes: ['x', 'refund.processed'] }, true],
  ['before since', { createdAtMs: DAY_ONE_MS + 999 }, { since: new Date(DAY_ONE_MS + 1_000) }, false],
  ['at since', { createdAtMs: DAY_ONE_MS + 1_000 }, { since: new Date(DAY_ONE_MS + 1_000) }, true],
  ['at until', { createdAtMs: DAY_ONE_MS + 1_000 }, { until: new Date(DAY_ONE_MS + 1_000) }, false],
  ['before until', { createdAtMs: DAY_ONE_MS + 999 }, { until: new Date(DAY_ONE_MS + 1_000) }, true],
  ['final only later', { createdAtMs: DAY_ONE_MS + 60_000 }, { asOf: new Date(DAY_ONE_MS + 60_000) }, false],
])('%s', async (_, fixture, scope, isWanted) => {
  const id = await add(fixture);
  const before = await openIds();
  const counted = await countRecoverable(db, await scopeOf(scope));
  expect(counted).toEqual({ recoverable: isWanted ? 1 : 0, lost: 0 });
  const recovery = await begin(scope);
  await runAll();
  expect(await progress(recovery)).toEqual({ status: 'completed', done: isWanted ? 1 : 0, skipped: 0 });
  expect(await openIds()).toEqual(isWanted ? [id] : before);
});

test('another endpoint of the same merchant, with the same event, is left alone', async () => {
  const mine = await add();
  const other = await addEndpoint(db, merchantId);
  const theirs = await add({ endpointId: other });
  await begin();
  await runAll();
  expect(await openIds()).toEqual([mine]);
  expect(await openRow(db, theirs)).toBeNull();
  expect(await statusOf(db, theirs)).toBe('failed');
});

test('what cannot be sent again is counted and skipped: erased, masked, gone, or in a format that cannot carry it', async () => {
  const sent = await add();
  await add({ data: null });
  await add({ errorCode: 'payload_conflict' });
  const gone = await addDelivery(db, { merchantId, endpointId, status: 'failed' });
  await db.$executeRaw`DELETE FROM events WHERE id = ${gone.eventId}::uuid`;
  const masked = await addDelivery(db, { merchantId, endpointId, status: 'failed' });
  await db.$executeRaw`UPDATE events SET redacted_at = now() WHERE id = ${masked.eventId}::uuid`;
  expect(await countRecoverable(db, await scopeOf())).toEqual({ recoverable: 1, lost: 4 });
  const id = await begin();
  await runAll();
  expect(await openIds()).toEqual([sent]);
  expect(await progress(id)).toEqual({ status: 'completed', done: 1, skipped: 4 });
});

test('one that waits for its retry by hand becomes the recovery’s; one in flight by hand is skipped', async () => {
  const waits = await add({ isOpen: true, isSingle: true });
  const flies = await add({ isOpen: true, isSingle: true, leaseUntil: `now() + interval '15 s'` });
  const id = await begin();
  await runAll();
  expect(await progress(id)).toEqual({ status: 'completed', done: 1, skipped: 1 });
  expect(await openRow(db, waits)).toMatchObject({ trigger: 'recovery', single: false });
  expect(await statusOf(db, waits)).toBe('retrying');
  expect(await openRow(db, flies)).toMatchObject({ trigger: 'initial', single: true });
  expect(await statusOf(db, flies)).toBe('failed');
});

test('a rate holds by the database’s clock, and a pause of the workers is not made up for', async () => {
  for (let n = 0; n < 30; n++) await add({ createdAtMs: DAY_ONE_MS + n });
  const id = await begin({}, 10);
  const passed = (seconds: number) => db.$executeRaw`
    UPDATE recoveries SET batch_at = now() - ${seconds} * interval '1 second', rate_tokens = 0 WHERE id = ${id}::uuid`;
  await passed(0.05);
  expect(await store.recoverBatch(100)).toBeNull();
  await passed(0.5);
  expect(await store.recoverBatch(100)).toMatchObject({ reopened: 5 });
  await passed(3_600);
  expect(await store.recoverBatch(100)).toMatchObject({ reopened: 10, status: 'running' });
  expect(await openIds()).toHaveLength(15);
});

test('many workers at once open each delivery once, and what a batch of one failed in is done by another', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 60; n++) ids.push(await add({ createdAtMs: DAY_ONE_MS + n }));
  const id = await begin();
  // As a worker that dies before its commit: everything of its batch is undone, its position too.
  await expect(
    db.$transaction(async (tx) => {
      const dying = new PostgresRecoveryStore({
        ...tx,
        $transaction: (work: (on: unknown) => unknown) => work(tx),
      } as never);
      expect(await dying.recoverBatch(25)).toMatchObject({ reopened: 25 });
      throw new Error('killed');
    }),
  ).rejects.toThrow('killed');
  expect(await openIds()).toEqual([]);
  let reopened = 0;
  const worker = async (): Promise<void> => {
    while ((await db.recovery.count({ where: { status: 'running' } })) > 0) {
      const batch = await store.recoverBatch(7);
      reopened += batch?.reopened ?? 0;
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  expect(reopened).toBe(60);
  expect(await openIds()).toEqual(ids);
  expect(await progress(id)).toEqual({ status: 'completed', done: 60, skipped: 0 });
});

test.each<[string, () => Promise<unknown>]>([
  ['disabled', () => db.endpointGate.update({ where: { endpointId }, data: { status: 'disabled' } })],
  ['deleted', () => db.endpoint.update({ where: { id: endpointId }, data: { deletedAt: new Date() } })],
])('ends when its endpoint is %s', async (_, close) => {
  for (let n = 0; n < 5; n++) await add({ createdAtMs: DAY_ONE_MS + n });
  const id = await begin();
  await store.recoverBatch(2);
  await close();
  await runAll();
  expect(await progress(id)).toEqual({ status: 'cancelled', done: 2, skipped: 0 });
  expect(await openIds()).toHaveLength(2);
});

test('recoveries of several endpoints take turns', async () => {
  const endpoints = [endpointId, await addEndpoint(db, merchantId)];
  for (const id of endpoints)
    for (let n = 0; n < 4; n++) await add({ endpointId: id, createdAtMs: DAY_ONE_MS + n });
  const ids = [
    await begin({ endpointId: endpoints[0] as string }),
    await begin({ endpointId: endpoints[1] as string }),
  ];
  const turns: (string | undefined)[] = [];
  for (let turn = 0; turn < 4; turn++) turns.push((await store.recoverBatch(2))?.recoveryId);
  expect(turns.slice(0, 2).toSorted()).toEqual(ids.toSorted());
  expect(turns.slice(2, 4)).toEqual(turns.slice(0, 2));
});

test('a replay of what succeeded counts every status that there is', async () => {
  const statuses: RecoverableStatus[] = ['failed', 'cancelled', 'succeeded'];
  for (const status of statuses) await add({ status });
  expect(await countRecoverable(db, await scopeOf({ statuses }))).toEqual({ recoverable: 3, lost: 0 });
});
