/**
 * That the log goes when it is old, and nothing else does.
 *
 * Doubled: time, by rows and partitions of days long past. Observed: the catalog, the rows, the API over them. Interrupted
 * runs are made by a transaction that the detaching has to wait for. Not asserted: how long anything takes.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { expireOpenDeliveries } from '#adapters/postgres/cancel-deliveries.js';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import {
  addDelivery,
  addEndpoint,
  addMerchant,
  type DeliveryFixture,
  openRow,
  statusOf,
} from '#adapters/postgres/delivery-log-fixtures.js';
import { MaintenanceSessions } from '#adapters/postgres/maintenance-session.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { type PartitionsRemoved, removeOldPartitions } from '#adapters/postgres/remove-old-partitions.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';

const DAY_MS = 86_400_000;
/** The partitions of the test are of ten days around it. */
const FIRST_MS = Date.parse('2024-05-01T00:00:00Z');
const LOCK = 4_711n;

let db: TestDatabase;
let database: Database;
let other: pg.Client;
let maintenance: MaintenanceSessions;
let merchantId: string;
let endpointId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  database = connectDatabase(db.databaseUrl, 4);
  maintenance = new MaintenanceSessions(db.databaseUrl);
  other = new pg.Client({ connectionString: db.databaseUrl });
  await other.connect();
  merchantId = await addMerchant(database);
  endpointId = await addEndpoint(database, merchantId);
}, 60_000);

afterAll(async () => {
  await other.end();
  await database.$disconnect();
  await db.drop();
});

async function remove(beforeMs: number): Promise<PartitionsRemoved> {
  const removed = await maintenance.alone(LOCK, (session) =>
    removeOldPartitions(session, { beforeMs, mayGoOn: () => true }),
  );
  if (removed === null) throw new Error('somebody else was at it');
  return removed;
}

function add(createdAtMs: number, fixture: Partial<DeliveryFixture> = {}) {
  return addDelivery(database, { merchantId, endpointId, createdAtMs, status: 'succeeded', ...fixture });
}

async function partitionsOf(day: string): Promise<string[]> {
  const rows = await database.$queryRaw<{ name: string }[]>`
    SELECT c.relname::text AS name FROM pg_class c
    WHERE c.relkind = 'r' AND c.relname LIKE ${`%\\_p${day}`} ORDER BY 1`;
  return rows.map(({ name }) => name);
}

async function keys(): Promise<string[]> {
  const rows = await database.$queryRaw<{ key: string }[]>`
    SELECT key FROM idempotency_keys WHERE kind = 'event' ORDER BY key`;
  return rows.map(({ key }) => key);
}

describe('days of the log', () => {
  beforeAll(async () => {
    await ensurePartitions(database, FIRST_MS + DAY_MS);
  });

  test('go with the ids of their events when they are over, and stay while one of their deliveries is open', async () => {
    await add(FIRST_MS + 1_000, { producerId: 'first' });
    const open = await add(FIRST_MS + DAY_MS + 1_000, {
      producerId: 'second',
      status: 'pending',
      dueAt: 'now()',
    });
    await add(FIRST_MS + 2 * DAY_MS + 1_000, { producerId: 'third' });
    await add(FIRST_MS + 3 * DAY_MS + 1_000, { producerId: 'fourth' });
    // A moment before the fourth day is over.
    const { dropped, kept } = await remove(FIRST_MS + 4 * DAY_MS - 1);
    expect([...dropped].sort()).toEqual(
      ['attempts', 'deliveries', 'events'].flatMap((table) =>
        ['20240501', '20240502', '20240503']
          .map((day) => `${table}_p${day}`)
          .filter((name) => !/^(events|deliveries)_p20240502$/.test(name)),
      ),
    );
    expect([...kept].sort()).toEqual(['deliveries_p20240502', 'events_p20240502']);
    expect(await keys()).toEqual(['fourth', 'second']);
    expect(await statusOf(database, open.id)).toBe('pending');

    expect(await expireOpenDeliveries(database, FIRST_MS + 4 * DAY_MS - 1, 100)).toBe(1);
    const [expired] = await database.$queryRaw<unknown[]>`
      SELECT status, error_code, completed_at IS NOT NULL AS is_completed FROM deliveries WHERE id = ${open.id}::uuid`;
    expect(expired).toEqual({ status: 'cancelled', error_code: 'expired', is_completed: true });
    expect(await openRow(database, open.id)).toBeNull();
    expect((await remove(FIRST_MS + 4 * DAY_MS - 1)).dropped).toEqual([
      'deliveries_p20240502',
      'events_p20240502',
    ]);
    expect(await keys()).toEqual(['fourth']);
    expect(await remove(FIRST_MS + 4 * DAY_MS - 1)).toEqual({ dropped: [], kept: [] });
  });

  test('a detaching that was interrupted is finished by the next run', async () => {
    await other.query('BEGIN');
    await other.query('SELECT FROM events LIMIT 1');
    // It waits for this transaction, not for ever.
    await expect(remove(FIRST_MS + 4 * DAY_MS)).rejects.toMatchObject({ code: '55P03' });
    const [pending] = await database.$queryRaw<{ names: string[] }[]>`
      SELECT array_agg(inhrelid::regclass::text) AS names FROM pg_inherits WHERE inhdetachpending`;
    expect(pending?.names).toEqual(['events_p20240504']);
    await other.query('COMMIT');
    // Nobody misses a partition that is to be made while one is half detached.
    expect(await ensurePartitions(database, FIRST_MS + 20 * DAY_MS)).toHaveLength(27);
    expect((await remove(FIRST_MS + 4 * DAY_MS)).dropped).toEqual(['events_p20240504']);
    expect(await partitionsOf('20240504')).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  test('one that was detached and not dropped is dropped by the next run, the ids of its events before it', async () => {
    await add(FIRST_MS + 4 * DAY_MS + 1_000, { producerId: 'fifth' });
    await other.query('ALTER TABLE events DETACH PARTITION events_p20240505 CONCURRENTLY');
    const isStoppedAtOnce = { beforeMs: FIRST_MS + 5 * DAY_MS, mayGoOn: () => false };
    await maintenance.alone(LOCK, (session) => removeOldPartitions(session, isStoppedAtOnce));
    expect(await keys()).toEqual(['fifth']);
    expect((await remove(FIRST_MS + 5 * DAY_MS)).dropped).toContain('events_p20240505');
    expect(await partitionsOf('20240505')).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  test('an id that was used again for a younger event is not forgotten with the older one', async () => {
    await add(FIRST_MS + 5 * DAY_MS + 1_000, { producerId: 'again' });
    await database.$executeRaw`DELETE FROM idempotency_keys WHERE key = 'again'`;
    await add(FIRST_MS + 6 * DAY_MS + 1_000, { producerId: 'again' });
    await remove(FIRST_MS + 6 * DAY_MS);
    expect(await partitionsOf('20240506')).toEqual([]);
    expect(await keys()).toEqual(['again']);
  });

  test('one process at a time, and the next one as soon as it has ended, however that was', async () => {
    const second = await maintenance.alone(LOCK, () =>
      maintenance.alone(LOCK, () => Promise.resolve('both')),
    );
    expect(second).toBeNull();
    const killed = maintenance.alone(LOCK, (session) =>
      session.query('SELECT pg_terminate_backend(pg_backend_pid())'),
    );
    await expect(killed).rejects.toThrow();
    expect(await maintenance.alone(LOCK, () => Promise.resolve('mine'))).toBe('mine');
  });
});

describe('open deliveries expire', () => {
  const dayMs = Date.parse('2024-08-10T00:00:00Z');
  const beforeMs = dayMs + DAY_MS;

  beforeAll(async () => {
    await ensurePartitions(database, dayMs);
  });

  async function open(fixture: Partial<DeliveryFixture>, deliverAtMs: number | null = null): Promise<string> {
    const { id, eventId } = await add(dayMs + 1_000, { status: 'pending', ...fixture });
    if (deliverAtMs !== null)
      await database.$executeRaw`
        UPDATE events SET deliver_at = ${new Date(deliverAtMs)} WHERE id = ${eventId}::uuid`;
    return id;
  }

  test.each([
    ['pending', {}, null, 'cancelled'],
    ['retrying', { status: 'retrying' }, null, 'cancelled'],
    [
      'accepted long ago and to be delivered later',
      { dueAt: "'2024-08-12'::timestamptz" },
      dayMs + 2 * DAY_MS,
      'pending',
    ],
    ['delivered later and retrying since', { dueAt: 'now()' }, dayMs + 2 * DAY_MS, 'pending'],
    ['to be delivered at a time that is long past too', { dueAt: 'now()' }, dayMs + DAY_MS / 2, 'cancelled'],
    ['in flight', { leaseUntil: "now() + interval '1 minute'" }, null, 'pending'],
    [
      'final, and tried once more by hand',
      { status: 'failed', isOpen: true, isSingle: true },
      null,
      'failed',
    ],
    ['accepted within the retention', { createdAtMs: beforeMs + 1 }, null, 'pending'],
  ] as const)('%s', async (_, fixture, deliverAtMs, status) => {
    const id = await open({ dueAt: "'2024-08-10'::timestamptz", ...fixture }, deliverAtMs);
    await expireOpenDeliveries(database, beforeMs, 100);
    expect(await statusOf(database, id)).toBe(status);
    const isKept = status === 'pending';
    expect((await openRow(database, id)) !== null).toBe(isKept);
    await database.$executeRaw`DELETE FROM open_deliveries WHERE delivery_id = ${id}::uuid`;
  });

  test('in batches', async () => {
    for (let n = 0; n < 5; n++) await open({ dueAt: 'now()' });
    expect(await expireOpenDeliveries(database, beforeMs, 3)).toBe(3);
    expect(await expireOpenDeliveries(database, beforeMs, 3)).toBe(2);
    expect(await expireOpenDeliveries(database, beforeMs, 3)).toBe(0);
  });

  test('one that was opened again while its day was dropped goes too', async () => {
    const id = await open({ dueAt: 'now()' });
    await database.$executeRaw`DELETE FROM events WHERE merchant_id = ${merchantId}::uuid`;
    await database.$executeRaw`DELETE FROM deliveries WHERE id = ${id}::uuid`;
    expect(await expireOpenDeliveries(database, beforeMs, 100)).toBe(1);
    expect(await openRow(database, id)).toBeNull();
  });
});
