import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database } from './database.js';
import { addDelivery, addEndpoint, addMerchant, DAY_ONE_MS, statusOf } from './delivery-log-fixtures.js';
import { disableFailing } from './disable-failing.js';
import { ensurePartitions } from './partitions.js';

let testDatabase: TestDatabase;
let db: Database;
let merchantId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 4);
  await ensurePartitions(db, DAY_ONE_MS);
  merchantId = await addMerchant(db);
}, 60_000);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

async function failing(since: number | null, until: number | null, attempts: number, status = 'enabled') {
  const endpointId = await addEndpoint(db, merchantId);
  const ago = (days: number | null) => (days === null ? null : new Date(Date.now() - days * 86_400_000));
  await db.endpointGate.update({
    where: { endpointId },
    data: { failingSince: ago(since), failingUntil: ago(until), failingAttempts: attempts, status },
  });
  await db.endpoint.update({ where: { id: endpointId }, data: { status } });
  return endpointId;
}

test.each<[string, Parameters<typeof failing>, boolean]>([
  ['all failed for five days', [5.01, 0, 40], true],
  ['all failed for less', [4.99, 0, 40], false],
  ['a burst, long ago', [9, 9, 5_000], false],
  ['few attempts', [9, 0, 9], false],
  ['just enough attempts', [9, 0, 10], true],
  ['a success since', [null, 0, 0], false],
  ['paused by somebody', [9, 0, 40, 'paused'], false],
  ['disabled already', [9, 0, 40, 'disabled'], false],
])('%s', async (_, gate, isDisabled) => {
  const id = await failing(...gate);
  const open = await addDelivery(db, { merchantId, endpointId: id, status: 'retrying' });
  const before = await db.merchant.findUniqueOrThrow({ where: { id: merchantId } });
  expect(await disableFailing(db, 5)).toEqual(isDisabled ? [id] : []);
  const endpoint = await db.endpoint.findUniqueOrThrow({ where: { id }, include: { gate: true } });
  const after = await db.merchant.findUniqueOrThrow({ where: { id: merchantId } });
  const told = await db.$queryRaw<object[]>`
    SELECT type, facts FROM notices WHERE endpoint_id = ${id}::uuid`;
  if (isDisabled) {
    expect(endpoint).toMatchObject({
      status: 'disabled',
      disabledReason: 'failing',
      gate: { status: 'disabled', failingSince: null, failingAttempts: 0 },
    });
    expect(after.configVersion).toBe(before.configVersion + 1n);
    expect(told).toEqual([{ type: 'webhook.disabled', facts: { disabled_reason: 'failing' } }]);
    expect(await statusOf(db, open.id)).toBe('cancelled');
  } else {
    expect(endpoint).toMatchObject({ status: gate[3] ?? 'enabled', disabledReason: null });
    expect(after.configVersion).toBe(before.configVersion);
    expect(told).toEqual([]);
    expect(await statusOf(db, open.id)).toBe('retrying');
  }
});

test('two workers at once disable and tell once', async () => {
  const ids = [await failing(6, 0, 40), await failing(6, 0, 40)];
  const disabled = await Promise.all([1, 2, 3].map(() => disableFailing(db, 5)));
  expect(disabled.flat().toSorted()).toEqual(ids.toSorted());
  const told = await db.$queryRaw<object[]>`SELECT FROM notices WHERE endpoint_id = ANY (${ids}::uuid[])`;
  expect(told).toHaveLength(2);
});
