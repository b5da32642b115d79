import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database } from './database.js';
import { ATTEMPTS_SHOWN_MAX, DeliveryLog } from './delivery-log.js';
import { EventLog } from './event-log.js';
import {
  addDelivery,
  addEndpoint,
  addMerchant,
  DAY_ONE_MS,
  DAY_TWO_MS,
  testIds,
} from './delivery-log-fixtures.js';
import { ensurePartitions } from './partitions.js';

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let db: Database;
let log: DeliveryLog;
let events: EventLog;
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 2);
  log = new DeliveryLog(db);
  events = new EventLog(db);
  await ensurePartitions(db, DAY_ONE_MS);
  merchantId = await addMerchant(db);
  endpointId = await addEndpoint(db, merchantId);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

async function addAttempts(deliveryId: string, atMs: readonly number[]): Promise<void> {
  await db.$executeRaw`
    INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, request_url,
                          request_headers)
    SELECT id, ${deliveryId}::uuid, ${merchantId}::uuid, number, 'manual', now(), 1, 'timeout', 'https://shop.example', '[]'
    FROM unnest(${atMs.map((ms) => testIds.uuidAt(ms))}::uuid[]) WITH ORDINALITY AS a (id, number)`;
}

test('of very many attempts the latest are shown, in their order', async () => {
  const { id } = await addDelivery(db, { merchantId, endpointId });
  await addAttempts(
    id,
    Array.from({ length: ATTEMPTS_SHOWN_MAX + 2 }, (_, n) => DAY_TWO_MS + n),
  );
  const numbers = (await log.attempts({ id })).map((attempt) => attempt.number);
  expect(numbers).toEqual(Array.from({ length: ATTEMPTS_SHOWN_MAX }, (_, n) => n + 3));
});

test('an attempt whose process knew the clock a little differently is shown', async () => {
  const { id } = await addDelivery(db, { merchantId, endpointId, createdAtMs: DAY_TWO_MS });
  await addAttempts(id, [DAY_TWO_MS - 20]);
  await expect(log.attempts({ id })).resolves.toHaveLength(1);
});

test('a public event id is Posthorn’s own, or what producers gave, of one merchant or of all', async () => {
  const otherMerchantId = await addMerchant(db);
  const mine = await addDelivery(db, { merchantId, endpointId, producerId: 'order-1' });
  const theirs = await addDelivery(db, {
    merchantId: otherMerchantId,
    endpointId: await addEndpoint(db, otherMerchantId),
    producerId: 'order-1',
  });
  await expect(events.idsOf('order-1', merchantId)).resolves.toEqual([mine.eventId]);
  await expect(events.idsOf('order-1', undefined)).resolves.toEqual([theirs.eventId, mine.eventId]);
  await expect(events.idsOf('order-2', undefined)).resolves.toEqual([]);
  await expect(events.idsOf('evt_01h455vb4pex5vsknk084sn02q', merchantId)).resolves.toEqual([
    '01890a5d-ac96-774b-bcce-b302099a8057',
  ]);
});
