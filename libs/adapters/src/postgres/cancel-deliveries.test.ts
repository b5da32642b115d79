import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import {
  cancelDelivery,
  cancelForClosedEndpoints,
  cancelOpenDeliveries,
  cancelOpenOfEndpoint,
} from './cancel-deliveries.js';
import { connectDatabase, type Database } from './database.js';
import {
  addDelivery,
  addEndpoint,
  addMerchant,
  DAY_ONE_MS,
  DAY_TWO_MS,
  openRow,
  statusOf,
} from './delivery-log-fixtures.js';
import { ensurePartitions } from './partitions.js';

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

describe('cancelDelivery', () => {
  test.each(['pending', 'retrying'])('ends a delivery that is %s', async (status) => {
    const { id } = await addDelivery(db, { merchantId, endpointId, status });
    await expect(cancelDelivery(db, { id })).resolves.toBe('cancelled');
    await expect(openRow(db, id)).resolves.toBeNull();
    const [row] = await db.$queryRaw<{ status: string; done: boolean }[]>`
      SELECT status, completed_at <= now() AS done FROM deliveries WHERE id = ${id}::uuid`;
    expect(row).toEqual({ status: 'cancelled', done: true });
  });

  test('leaves what is in flight', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, leaseUntil: `now() + interval '15 s'` });
    await expect(cancelDelivery(db, { id })).resolves.toBe('in_flight');
    await expect(statusOf(db, id)).resolves.toBe('pending');
    await expect(openRow(db, id)).resolves.not.toBeNull();
  });

  test('leaves what is final', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId, status: 'succeeded' });
    await expect(cancelDelivery(db, { id })).resolves.toBe('final');
    await expect(statusOf(db, id)).resolves.toBe('succeeded');
  });

  test('takes away the one attempt that was asked for by hand, and keeps the status', async () => {
    const { id } = await addDelivery(db, {
      merchantId,
      endpointId,
      status: 'failed',
      isOpen: true,
      isSingle: true,
    });
    await expect(cancelDelivery(db, { id })).resolves.toBe('cancelled');
    await expect(statusOf(db, id)).resolves.toBe('failed');
    await expect(openRow(db, id)).resolves.toBeNull();
  });

  test('of two at once, one cancels', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId });
    const outcomes = await Promise.all([cancelDelivery(db, { id }), cancelDelivery(db, { id })]);
    expect(outcomes.sort()).toEqual(['cancelled', 'final']);
  });
});

describe('cancelOpenDeliveries', () => {
  test('works in batches, over days, and leaves other endpoints and what is in flight', async () => {
    const other = await addDelivery(db, { merchantId, endpointId: await addEndpoint(db, merchantId) });
    const flying = await addDelivery(db, { merchantId, endpointId, leaseUntil: `now() + interval '15 s'` });
    const ids: string[] = [];
    for (const createdAtMs of [DAY_ONE_MS, DAY_ONE_MS + 1, DAY_TWO_MS]) {
      ids.push((await addDelivery(db, { merchantId, endpointId, createdAtMs })).id);
    }
    await expect(cancelOpenDeliveries(db, [endpointId], 2)).resolves.toBe(2);
    await expect(cancelOpenDeliveries(db, [endpointId], 2)).resolves.toBe(1);
    await expect(cancelOpenDeliveries(db, [endpointId], 2)).resolves.toBe(0);
    for (const id of ids) await expect(statusOf(db, id)).resolves.toBe('cancelled');
    await expect(statusOf(db, flying.id)).resolves.toBe('pending');
    await expect(statusOf(db, other.id)).resolves.toBe('pending');
  });

  test('does not wait for rows that something else holds', async () => {
    const held = await addDelivery(db, { merchantId, endpointId });
    const free = await addDelivery(db, { merchantId, endpointId });
    await db.$transaction(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM open_deliveries WHERE delivery_id = ${held.id}::uuid FOR UPDATE`;
      await expect(cancelOpenDeliveries(db, [endpointId], 10)).resolves.toBe(1);
    });
    await expect(statusOf(db, free.id)).resolves.toBe('cancelled');
    await expect(statusOf(db, held.id)).resolves.toBe('pending');
  });

  test('of no endpoints is nothing', async () => {
    await expect(cancelOpenDeliveries(db, [], 10)).resolves.toBe(0);
  });
});

describe('cancelOpenOfEndpoint', () => {
  test('waits for rows that something else holds, and leaves what that has claimed', async () => {
    const [given, taken, free] = await Promise.all(
      Array.from({ length: 3 }, async () => (await addDelivery(db, { merchantId, endpointId })).id),
    );
    if (given === undefined || taken === undefined || free === undefined) throw new Error('three were added');
    let cancelling: Promise<void> | undefined;
    await db.$transaction(async (tx) => {
      await tx.$executeRaw`UPDATE open_deliveries SET hinted_until = now() WHERE delivery_id = ${given}::uuid`;
      await tx.$executeRaw`
        UPDATE open_deliveries SET lease_until = now() + interval '15 s' WHERE delivery_id = ${taken}::uuid`;
      cancelling = cancelOpenOfEndpoint(db, { id: endpointId, merchantId }, 10);
      await eventually(() => expect(statusOf(db, free)).resolves.toBe('cancelled'));
      await expect(statusOf(db, given)).resolves.toBe('pending');
    });
    await cancelling;
    await expect(statusOf(db, given)).resolves.toBe('cancelled');
    await expect(statusOf(db, taken)).resolves.toBe('pending');
  });

  test('is of that merchant only', async () => {
    const { id } = await addDelivery(db, { merchantId, endpointId });
    await cancelOpenOfEndpoint(db, { id: endpointId, merchantId: await addMerchant(db) }, 10);
    await expect(statusOf(db, id)).resolves.toBe('pending');
  });
});

test('cancelForClosedEndpoints finds what disabled endpoints still have open, up to its limit', async () => {
  const open = await addDelivery(db, { merchantId, endpointId });
  const closedIds = [await addEndpoint(db, merchantId), await addEndpoint(db, merchantId)];
  for (const id of closedIds) {
    await addDelivery(db, { merchantId, endpointId: id });
    await addDelivery(db, { merchantId, endpointId: id });
    await db.endpointGate.update({ where: { endpointId: id }, data: { status: 'disabled' } });
  }
  await expect(cancelForClosedEndpoints(db, 3)).resolves.toBe(3);
  await expect(cancelForClosedEndpoints(db, 3)).resolves.toBe(1);
  await expect(cancelForClosedEndpoints(db, 3)).resolves.toBe(0);
  await expect(statusOf(db, open.id)).resolves.toBe('pending');
});
