import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ensurePartitions,
  LOG_TABLES,
  missingSoon,
  PARTITION_DAYS_AHEAD,
} from '#adapters/postgres/partitions.js';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { uuidFloor } from '#domain/ids.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

const DAY_MS = 86_400_000;
let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await createTestDatabase();
  database = connectDatabase(db.databaseUrl, 4);
}, 60_000);

afterAll(async () => {
  await database.$disconnect();
  await db.drop();
});

async function partitionOf(table: string, id: string): Promise<string> {
  const [row] = await database.$queryRawUnsafe<{ name: string }[]>(
    `SELECT tableoid::regclass::text AS name FROM ${table} WHERE id = '${id}'`,
  );
  return row?.name ?? 'none';
}

test('partitions are made from yesterday to a week ahead, once, also by five processes at once', async () => {
  // Far from the days that the template of this database has already.
  const nowMs = Date.UTC(2031, 1, 27, 23, 59, 59, 999);
  expect(await missingSoon(database, nowMs)).toHaveLength(2 * LOG_TABLES.length);
  const made = await Promise.all(Array.from({ length: 5 }, () => ensurePartitions(database, nowMs)));
  expect(new Set(made.flat()).size).toBe((PARTITION_DAYS_AHEAD + 2) * LOG_TABLES.length);
  expect(made.flat()).toContain('events_p20310301');
  expect(await ensurePartitions(database, nowMs)).toEqual([]);
  expect(await missingSoon(database, nowMs)).toEqual([]);
});

test('there is no default partition, so a missing one is an error and not a trap', async () => {
  const id = uuidFloor(Date.UTC(2040, 0, 1));
  await expect(
    database.$executeRaw`INSERT INTO events (id, merchant_id, type, created_at, delivery_count)
      VALUES (${id}::uuid, ${id}::uuid, 'x', now(), 0)`,
  ).rejects.toThrow('no partition of relation "events" found');
});

describe('midnight', () => {
  let rig: PipelineRig;
  let receiver: Receiver;

  beforeAll(async () => {
    receiver = await startReceiver();
    rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  });

  afterAll(async () => {
    await rig.close();
    await receiver.close();
  });

  test('events on both sides of it are accepted, delivered and logged, each in its own day', async () => {
    const merchantId = await rig.merchant();
    await rig.endpoint(merchantId, receiver.url('/midnight'));
    const midnightMs = (Math.floor(Date.now() / DAY_MS) + 1) * DAY_MS;
    const nowMs = rig.clock.nowMs.bind(rig.clock);
    const eventIds: string[] = [];
    for (const atMs of [midnightMs - 1, midnightMs, midnightMs + 6 * DAY_MS]) {
      // The clock that makes ids stands still at the instant; PostgreSQL's own goes on, and decides what is due.
      rig.clock.nowMs = () => atMs;
      const outcome = await rig.send(rig.draft(merchantId));
      expect(outcome).toMatchObject({ kind: 'accepted', events: [{ deliveries: 1 }] });
      const [event] = await database.$queryRaw<{ id: string }[]>`
        SELECT id FROM events WHERE merchant_id = ${merchantId}::uuid ORDER BY id DESC LIMIT 1`;
      eventIds.push(event?.id ?? '');
    }
    rig.clock.nowMs = nowMs;
    await eventually(async () => {
      const rows = await database.$queryRaw<{ status: string }[]>`
        SELECT status FROM deliveries WHERE merchant_id = ${merchantId}::uuid`;
      expect(rows).toEqual([{ status: 'succeeded' }, { status: 'succeeded' }, { status: 'succeeded' }]);
    });
    const partitions = await Promise.all(eventIds.map((id) => partitionOf('events', id)));
    expect(new Set(partitions).size).toBe(3);
    const day = new Date(midnightMs).toISOString().slice(0, 10).replaceAll('-', '');
    expect(partitions[1]).toBe(`events_p${day}`);
    const attempts = await database.$queryRaw<{ n: bigint }[]>`
      SELECT count(*) AS n FROM attempts WHERE merchant_id = ${merchantId}::uuid AND outcome = 'succeeded'`;
    expect(Number(attempts[0]?.n)).toBe(3);
  });
});
