/**
 * That an erased merchant leaves nothing behind, whatever was under way.
 *
 * Doubled: the queue. Observed: every row of every table, as the catalog names them, as text. Statements that overtake the
 * erasure are made by transactions that stay open. Not asserted: the audit log, whose rows stay.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { cancelDelivery } from '#adapters/postgres/cancel-deliveries.js';
import type { Database } from '#adapters/postgres/database.js';
import { type ErasureProgress, eraseMerchant, findErasures } from '#adapters/postgres/erase-merchant.js';
import { IdempotentPosts } from '#adapters/postgres/idempotent-posts.js';
import { beginErasingMerchant } from '#adapters/postgres/merchants.js';
import { writeAudit } from '#adapters/postgres/write-audit.js';
import { reconcileLeases } from '#adapters/postgres/reconcile-leases.js';
import { settleDeliveries } from '#adapters/postgres/settle-deliveries.js';
import type { AttemptRecord, Claimed } from '#pipeline/delivery-store.js';
import { eventually } from '#testkit/eventually.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

/** Rows of the audit log stay; what they say goes, which is looked at by itself. */
const KEPT_TABLES = ['audit_log', '_prisma_migrations'];

let db: TestDatabase;
let rig: PipelineRig;
let receiver: Receiver;
let database: Database;
let other: pg.Client;

beforeAll(async () => {
  [db, receiver] = await Promise.all([createTestDatabase(), startReceiver()]);
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  database = rig.database;
  other = new pg.Client({ connectionString: db.databaseUrl });
  await other.connect();
}, 60_000);

afterAll(async () => {
  await other.end();
  await rig.close();
  await receiver.close();
  await db.drop();
});

beforeEach(() => {
  rig.queue.mode = 'deliver';
  receiver.on('*', respond(200, { body: 'thanks' }));
});

interface Filled {
  readonly id: string;
  readonly endpointId: string;
  /** Stands in everything that the merchant, or the producer for it, has written. */
  readonly mark: string;
}

/** A merchant with rows in every table that can have one of it. */
async function fill(): Promise<Filled> {
  const mark = `mark${randomBytes(8).toString('hex')}`;
  const id = rig.ids.uuid();
  await database.merchant.create({ data: { id, name: mark, externalId: mark, metadata: { mark } } });
  const endpointId = await rig.endpoint(id, receiver.url(`/${mark}`), { retryScheduleSeconds: [300] });
  await database.endpoint.update({
    where: { id: endpointId },
    data: { metadata: { mark }, description: mark },
  });
  const event = (n: string) =>
    rig.draft(id, { json: `{"m":"${mark}"}`, producerId: `${mark}${n}`, orderingKey: mark });
  await rig.send(event('a'), event('b'));
  await eventually(async () => {
    const [row] = await database.$queryRaw<{ n: number }[]>`
      SELECT count(*)::int AS n FROM deliveries WHERE merchant_id = ${id}::uuid AND status = 'succeeded'`;
    expect(row?.n).toBe(2);
  });
  receiver.on(`/${mark}`, respond(500, { body: mark }));
  await rig.send(event('c'));
  await eventually(async () => {
    const [row] = await database.$queryRaw<{ n: number }[]>`
      SELECT count(*)::int AS n FROM attempts WHERE merchant_id = ${id}::uuid`;
    expect(row?.n).toBe(3);
  });
  const deletedId = await rig.endpoint(id, receiver.url(`/${mark}`));
  await database.endpoint.update({
    where: { id: deletedId },
    data: { deletedAt: new Date(), status: 'disabled' },
  });
  await database.apiKey.create({
    data: {
      id: rig.ids.uuid(),
      merchantId: id,
      name: mark,
      prefix: mark,
      keyHash: randomBytes(32),
      scopes: [],
    },
  });
  await database.endpointSequence.create({ data: { endpointId, lastSequence: 3n } });
  await database.recovery.create({
    data: {
      id: rig.ids.uuid(),
      merchantId: id,
      endpointId,
      since: new Date(),
      until: new Date(),
      statuses: [],
      status: 'completed',
      total: 1n,
    },
  });
  await database.$executeRaw`
    INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, expires_at)
    VALUES ('header', ${mark}, ${id}::uuid, ${randomBytes(32)}, now() + interval '1 hour')`;
  await database.$executeRaw`
    INSERT INTO delivery_stats_packed (endpoint_id, period_start, merchant_id, counts)
    VALUES (${endpointId}::uuid, now() - interval '1 day', ${id}::uuid, '{}')`;
  await database.$executeRaw`
    INSERT INTO payload_sweeps (merchant_id, swept_to) VALUES (${id}::uuid, ${id}::uuid)`;
  await database.$executeRaw`
    INSERT INTO held_payloads (event_id, merchant_id)
    SELECT id, merchant_id FROM events WHERE merchant_id = ${id}::uuid LIMIT 1`;
  await database.$executeRaw`
    INSERT INTO notices (type, merchant_id, endpoint_id)
    VALUES ('webhook.disabled', ${id}::uuid, ${endpointId}::uuid)`;
  await writeAudit(database, {
    id: rig.ids.uuid(),
    action: 'merchant.created',
    keyId: null,
    merchantId: id,
    target: null,
    payload: { address: '192.0.2.1', request_id: null, before: null, after: { name: mark } },
  });
  return { id, endpointId, mark };
}

const unaudited = (): Promise<void> => Promise.resolve();

/** What the audit log says beyond who did what and when. */
async function auditPayloads(merchantId: string): Promise<(string | null)[]> {
  const rows = await database.$queryRaw<{ payload: string | null; salt: Uint8Array | null }[]>`
    SELECT payload, salt FROM audit_log WHERE merchant_id = ${merchantId}::uuid`;
  for (const { payload, salt } of rows) expect(salt === null).toBe(payload === null);
  return rows.map(({ payload }) => payload);
}

async function tables(): Promise<string[]> {
  const rows = await database.$queryRaw<{ name: string }[]>`
    SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace`;
  return rows.map(({ name }) => name).filter((name) => !KEPT_TABLES.includes(name));
}

/** Tables that say whose their rows are, or hang on one that does. */
async function tablesOfMerchants(): Promise<string[]> {
  const rows = await database.$queryRaw<{ name: string }[]>`
    SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
      AND (c.relname = 'merchants'
           OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('merchant_id', 'endpoint_id'))
           OR EXISTS (SELECT FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f'
                        AND f.confrelid IN ('merchants'::regclass, 'endpoints'::regclass)))`;
  return rows.map(({ name }) => name).filter((name) => !KEPT_TABLES.includes(name));
}

/** The tables that have a row in which one of the words stands. */
async function tablesWith(words: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const table of await tables()) {
    const [row] = await database.$queryRawUnsafe<{ found: boolean }[]>(
      `SELECT EXISTS (SELECT FROM ${table} r WHERE r::text LIKE ANY ($1::text[])) AS found`,
      words.map((word) => `%${word}%`),
    );
    if (row?.found === true) found.push(table);
  }
  return found.sort();
}

/** Every row of a merchant, so that any change to one shows. */
async function rowsOf({ id, endpointId, mark }: Filled): Promise<string> {
  const all: string[] = [];
  for (const table of await tables()) {
    const rows = await database.$queryRawUnsafe<{ text: string }[]>(
      `SELECT r::text AS text FROM ${table} r WHERE r::text LIKE ANY ($1::text[]) ORDER BY 1`,
      [id, endpointId, mark].map((word) => `%${word}%`),
    );
    all.push(table, ...rows.map(({ text }) => text));
  }
  return all.join('\n');
}

async function erase(merchantId: string): Promise<ErasureProgress> {
  return eventually(async () => {
    const progress = await eraseMerchant(database, merchantId, () => true);
    expect(progress.kind).toBe('erased');
    return progress;
  });
}

test('nothing of an erased merchant is left in any table, and another one keeps every row', async () => {
  const [gone, stays] = [await fill(), await fill()];
  const of = [gone.id, gone.endpointId, gone.mark, Buffer.from(gone.mark).toString('hex')];
  // A table that is missing here has nothing of a merchant in this test: fill it above, and give the erasure a step for it.
  expect(await tablesWith(of)).toEqual(
    (await tablesOfMerchants()).filter((name) => name !== 'merchant_erasures').sort(),
  );
  const before = await rowsOf(stays);
  expect(await beginErasingMerchant(database, gone.id, unaudited)).toBe(true);
  expect(await findErasures(database)).toEqual([gone.id]);
  // Three workers at once, each of which may be told to stop after any batch.
  await eventually(async () => {
    await Promise.all([1, 2, 3].map(() => eraseMerchant(database, gone.id, () => Math.random() < 0.5)));
    expect(await findErasures(database)).toEqual([]);
  });
  expect(await tablesWith(of)).toEqual([]);
  expect(await rowsOf(stays)).toBe(before);
  expect(await auditPayloads(gone.id)).toEqual([null]);
  expect(await auditPayloads(stays.id)).toEqual([expect.stringContaining(stays.mark)]);
  expect(await beginErasingMerchant(database, gone.id, unaudited)).toBe(false);
  expect(await eraseMerchant(database, gone.id, () => true)).not.toMatchObject({ kind: 'erased' });
  // Its external id is free again.
  await database.merchant.create({ data: { id: rig.ids.uuid(), name: 'again', externalId: gone.mark } });
});

test('attempts of a day whose deliveries are gone are removed as well', async () => {
  const id = await rig.merchant();
  const attempt = rig.ids.uuid();
  await database.$executeRaw`
    INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, request_url,
                          request_headers)
    VALUES (${attempt}::uuid, ${rig.ids.uuidAt(Date.parse('2020-01-01'))}::uuid, ${id}::uuid, 1, 'manual', now(), 1,
            'succeeded', 'http://a', '[]')`;
  await beginErasingMerchant(database, id, unaudited);
  await erase(id);
  expect(await tablesWith([id])).toEqual([]);
});

test('a statement that began before the erasure, and commits after it, is waited for', async () => {
  const id = await rig.merchant();
  const late = rig.ids.uuid();
  const insert = (producer: string) =>
    other.query(
      `WITH event AS (INSERT INTO events (id, merchant_id, type, created_at, delivery_count, producer_id)
                      VALUES ($1, $2, 'x', now(), 0, $3))
       INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, event_ids) VALUES ('event', $3, $2, '', ARRAY[$1::uuid])`,
      [producer === 'a' ? late : rig.ids.uuid(), id, producer],
    );
  // It holds a snapshot in which the merchant is active, and has written nothing yet.
  await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await other.query('SELECT FROM merchants');
  await beginErasingMerchant(database, id, unaudited);
  for (let n = 0; n < 3; n++)
    expect(await eraseMerchant(database, id, () => true)).toEqual({ kind: 'waiting', for: 'statements' });
  await insert('a');
  await other.query('COMMIT');
  await erase(id);
  expect(await tablesWith([id, late])).toEqual([]);
});

test('one that has dropped its snapshot and is still committing is waited for', async () => {
  const id = await rig.merchant();
  const late = rig.ids.uuid();
  await other.query('BEGIN ISOLATION LEVEL READ COMMITTED');
  await other.query(
    `INSERT INTO events (id, merchant_id, type, created_at, delivery_count) VALUES ($1, $2, 'x', now(), 0)`,
    [late, id],
  );
  await beginErasingMerchant(database, id, unaudited);
  for (let n = 0; n < 3; n++)
    expect(await eraseMerchant(database, id, () => true)).toEqual({ kind: 'waiting', for: 'statements' });
  await other.query('COMMIT');
  await erase(id);
  expect(await tablesWith([id, late])).toEqual([]);
});

const ATTEMPT: AttemptRecord = {
  outcome: 'succeeded',
  startedAtMs: Date.now(),
  durationMs: 1,
  statusCode: 200,
  errorCode: null,
  errorMessage: null,
  requestUrl: 'http://example.com/private',
  requestHeaders: [],
  responseHeaders: [],
  responseBody: Buffer.from('private'),
  responseBodyTruncated: false,
  remoteAddress: '127.0.0.1',
};

async function claimOne(merchantId: string): Promise<Claimed> {
  rig.queue.mode = 'lose';
  await rig.endpoint(merchantId, receiver.url('/claimed'));
  await rig.send(rig.draft(merchantId));
  const [open] = await database.$queryRaw<{ id: string }[]>`
    SELECT delivery_id AS id FROM open_deliveries WHERE merchant_id = ${merchantId}::uuid`;
  const wanted = { deliveryId: open?.id ?? '', leaseToken: rig.ids.uuid(), attemptId: rig.ids.uuid() };
  const rooms = { perEndpoint: 10, endpoints: [], perMerchant: 10, merchants: [] };
  const [claim] = await rig.store.claim('fast', [wanted], rooms);
  if (claim === undefined) throw new Error('nothing was claimed');
  return claim;
}

test('attempts in flight end first, and are not logged; their results bring nothing back afterwards', async () => {
  const id = await rig.merchant();
  const claim = await claimOne(id);
  await beginErasingMerchant(database, id, unaudited);
  await eventually(async () =>
    expect(await eraseMerchant(database, id, () => true)).toEqual({ kind: 'waiting', for: 'attempts' }),
  );
  const settlement = { claim, attempt: ATTEMPT, step: { kind: 'succeeded' as const } };
  expect(await settleDeliveries(database, [settlement])).toEqual([{ kind: 'final' }]);
  expect(await tablesWith(['/private'])).toEqual([]);
  await erase(id);
  // The same again, from a worker that was away for a while.
  expect(await settleDeliveries(database, [settlement])).toEqual([{ kind: 'superseded' }]);
  expect(await tablesWith([id, claim.deliveryId, '/private'])).toEqual([]);
});

test('a lease whose worker is gone ends by itself, and is not logged', async () => {
  const id = await rig.merchant();
  const claim = await claimOne(id);
  await beginErasingMerchant(database, id, unaudited);
  await database.$executeRaw`
    UPDATE open_deliveries SET lease_until = now() - interval '1 second' WHERE delivery_id = ${claim.deliveryId}::uuid`;
  expect(await reconcileLeases(database, { deliveriesMax: 10 })).toBe(1);
  expect(await tablesWith([claim.attemptId])).toEqual([]);
  await erase(id);
  expect(await tablesWith([id, claim.deliveryId])).toEqual([]);
});

test('a call that gets through with an Idempotency-Key meanwhile is done, and its key is not kept', async () => {
  const id = await rig.merchant();
  rig.queue.mode = 'lose';
  await rig.endpoint(id, receiver.url('/unsent'));
  await rig.send(rig.draft(id));
  const [open] = await database.$queryRaw<{ id: string }[]>`
    SELECT delivery_id AS id FROM open_deliveries WHERE merchant_id = ${id}::uuid`;
  await beginErasingMerchant(database, id, unaudited);
  const posts = new IdempotentPosts(database, rig.secretBox);
  const answer = await posts.run(id, 'a key of a call', randomBytes(32), async (transaction) => ({
    status: 202,
    body: await cancelDelivery(transaction, { id: open?.id ?? '' }),
  }));
  expect(answer).toMatchObject({ status: 202, body: 'cancelled' });
  expect(await tablesWith(['a key of a call'])).toEqual([]);
  await erase(id);
  expect(await tablesWith([id])).toEqual([]);
});
