import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database } from './database.js';
import {
  addDelivery,
  addEndpoint,
  addMerchant,
  DAY_ONE_MS,
  openRow,
  statusOf,
  testIds,
} from './delivery-log-fixtures.js';
import { ensurePartitions } from './partitions.js';
import { retryDelivery } from './retry-delivery.js';

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let db: Database;
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 4);
  await ensurePartitions(db, DAY_ONE_MS);
  merchantId = await addMerchant(db);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

beforeEach(async () => {
  endpointId = await addEndpoint(db, merchantId);
});

describe('of an open delivery', () => {
  test('brings the next attempt forward and marks it as hinted under a new number', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, status: 'retrying' });
    await expect(retryDelivery(db, { id })).resolves.toEqual({
      kind: 'due',
      delivery: { deliveryId: id, endpointId, lane: 'fast', hintNumber: 2 },
    });
    await expect(openRow(db, id)).resolves.toMatchObject({
      due: true,
      hinted: true,
      hintNumber: 2,
      trigger: 'manual',
      single: false,
    });
  });

  test('hints the lane that its endpoint is in', async () => {
    await db.endpointGate.update({ where: { endpointId }, data: { lane: 'slow' } });
    const { id } = await addDelivery(db, { merchantId, endpointId });
    await expect(retryDelivery(db, { id })).resolves.toMatchObject({ delivery: { lane: 'slow' } });
  });

  test('is refused while an attempt is in flight', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, leaseUntil: `now() + interval '15 s'` });
    await expect(retryDelivery(db, { id })).resolves.toEqual({ kind: 'under_way' });
    await expect(openRow(db, id)).resolves.toMatchObject({ due: false, hintNumber: 1, trigger: 'initial' });
  });
});

describe('of a final delivery', () => {
  test.each(['succeeded', 'failed', 'cancelled'])(
    'makes one attempt due and leaves it %s',
    async (status) => {
      const { id } = await addDelivery(db, { merchantId, endpointId, status, attemptCount: 4 });
      const outcome = await retryDelivery(db, { id });
      expect(outcome).toMatchObject({ kind: 'due', delivery: { deliveryId: id, lane: 'fast' } });
      await expect(statusOf(db, id)).resolves.toBe(status);
      await expect(openRow(db, id)).resolves.toMatchObject({
        due: true,
        hinted: true,
        trigger: 'manual',
        single: true,
        attemptNumber: 4,
        dataBytes: '{"amount":1.10}'.length,
      });
    },
  );

  test('hint numbers start above those that its earlier open row can have reached', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, status: 'failed' });
    const outcome = await retryDelivery(db, { id });
    expect(outcome.kind === 'due' && outcome.delivery.hintNumber).toBeGreaterThan(1_000_000);
  });

  test('of two at once, one makes the attempt', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, status: 'failed' });
    const kinds = (await Promise.all([retryDelivery(db, { id }), retryDelivery(db, { id })])).map(
      ({ kind }) => kind,
    );
    expect(kinds.sort()).toEqual(['due', 'under_way']);
  });

  test('an attempt by hand that was interrupted can be brought forward', async () => {
    const waiting = { merchantId, endpointId, status: 'failed', isOpen: true, isSingle: true };
    const { id } = await addDelivery(db, { ...waiting, dueAt: `now() + interval '1 hour'` });
    await expect(retryDelivery(db, { id })).resolves.toMatchObject({
      kind: 'due',
      delivery: { hintNumber: 2 },
    });
  });

  test('is refused when the data was erased', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, status: 'failed', data: null });
    await expect(retryDelivery(db, { id })).resolves.toEqual({ kind: 'data_erased' });
    await expect(openRow(db, id)).resolves.toBeNull();
  });

  test('is refused when its payload format cannot carry the event', async () => {
    const failed = { merchantId, endpointId, status: 'failed', errorCode: 'payload_conflict' };
    const { id } = await addDelivery(db, failed);
    await expect(retryDelivery(db, { id })).resolves.toEqual({ kind: 'payload_conflict' });
    await expect(openRow(db, id)).resolves.toBeNull();
  });
});

test.each(['paused', 'disabled'])('nothing is retried while the endpoint is %s', async (status) => {
  const open = await addDelivery(db, { merchantId, endpointId });
  const final = await addDelivery(db, { merchantId, endpointId, status: 'failed' });
  await db.endpointGate.update({ where: { endpointId }, data: { status } });
  await expect(retryDelivery(db, { id: open.id })).resolves.toEqual({ kind: 'endpoint_closed' });
  await expect(retryDelivery(db, { id: final.id })).resolves.toEqual({ kind: 'endpoint_closed' });
  await expect(openRow(db, open.id)).resolves.toMatchObject({ due: false, hintNumber: 1 });
  await expect(openRow(db, final.id)).resolves.toBeNull();
});

test('an unknown delivery is not found', async () => {
  await expect(retryDelivery(db, { id: testIds.uuid() })).resolves.toEqual({ kind: 'not_found' });
});
