/**
 * A merchant is deleted while its events are in flight to a slow receiver, and a worker is killed while it erases.
 *
 * Observed: the API, the receiver's ledger, and every row of the database as text.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { parseId } from '#domain/ids.js';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, type PosthornProcess, startInstallation } from '#testkit/processes.js';
import { after } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

const IN_FLIGHT = 40;
const EVENTS = 400;
/** Enough for the job to be seen at work: dozens of batches. */
const OLD_DELIVERIES = 40_000;
const ANSWER_AFTER_MS = 1_500;
const MARK = 'mark-of-the-erased-merchant';

let installation: Installation;
let receiver: Receiver;
let client: ApiClient;
let database: pg.Client;

beforeAll(async () => {
  [installation, receiver] = await Promise.all([
    startInstallation({ queue: 'postgres', workers: 2 }),
    startReceiver(),
  ]);
  client = installation.client;
  database = new pg.Client({ connectionString: installation.database.databaseUrl });
  await database.connect();
}, 60_000);

afterAll(async () => {
  await database.end();
  await installation.close();
  await receiver.close();
}, 30_000);

async function column<Value>(sql: string, parameters: unknown[] = []): Promise<Value[]> {
  const { rows } = await database.query<[Value]>({ text: sql, values: parameters, rowMode: 'array' });
  return rows.map(([value]) => value);
}

/** Tables that have a row in which one of the words stands. */
async function tablesWith(words: readonly string[]): Promise<string[]> {
  const tables = await column<string>(
    `SELECT oid::regclass::text FROM pg_class
     WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace AND relname <> 'audit_log'`,
  );
  const found: string[] = [];
  for (const table of tables) {
    const [isFound] = await column<boolean>(
      `SELECT EXISTS (SELECT FROM ${table} r WHERE r::text LIKE ANY ($1))`,
      [words.map((word) => `%${word}%`)],
    );
    if (isFound === true) found.push(table);
  }
  return found;
}

/** Many final deliveries, each with an attempt, as if they were of earlier today. */
async function addOldDeliveries(merchantId: string, endpointId: string): Promise<void> {
  await database.query(
    `WITH new AS MATERIALIZED (
       SELECT (substr(id, 1, 8) || '-' || substr(id, 9, 4) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id
       FROM (SELECT n, lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') AS id
             FROM generate_series(1, $3::int) AS n) AS numbered
     ), made AS (
       INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status)
       SELECT id, id, $2, $1, 'x', 'envelope', 'succeeded' FROM new
     )
     INSERT INTO attempts (id, delivery_id, merchant_id, number, trigger, started_at, duration_ms, outcome, request_url,
                           request_headers)
     SELECT id, id, $1, 1, 'initial', now(), 1, 'succeeded', 'http://${MARK}', '[]' FROM new`,
    [merchantId, endpointId, OLD_DELIVERIES],
  );
}

test('nothing of it is left, nothing of another is gone', async () => {
  const external = { external_id: MARK, name: MARK, metadata: { note: MARK } };
  const gone = await client.newMerchant(external);
  const stays = await client.newMerchant();
  const [webhook, other] = await Promise.all([
    client.newWebhook(gone, receiver.url(`/${MARK}`), { headers: { 'x-note': MARK } }),
    client.newWebhook(stays, receiver.url('/other')),
  ]);
  const [merchantUuid, endpointUuid] = [parseId('mrc', gone) ?? '', parseId('wh', webhook.id) ?? ''];
  await addOldDeliveries(merchantUuid, endpointUuid);
  const kept = await client.sendEvent(stays, { id: 'kept' });
  await eventually(() => expect(receiver.requests.filter(({ path }) => path === '/other')).toHaveLength(1));

  receiver.on(`/${MARK}`, after(ANSWER_AFTER_MS));
  const events = Array.from({ length: EVENTS }, (_, n) => ({
    merchant_id: gone,
    type: 'payment.success',
    id: `${MARK}-${n}`,
    data: { note: MARK },
  }));
  expect((await client.post('/v1/events/batch', { events })).status).toBe(202);
  const sent = () => receiver.requests.filter(({ path }) => path === `/${MARK}`).length;
  await eventually(() => expect(sent()).toBeGreaterThanOrEqual(IN_FLIGHT));

  expect(await client.delete(`/v1/merchants/${gone}`)).toMatchObject({
    status: 202,
    body: { status: 'erasing' },
  });
  expect(await client.get(`/v1/merchants/${gone}`)).toMatchObject({
    status: 200,
    body: { status: 'erasing' },
  });
  // What is still sent had been claimed by then: at most what a worker holds.
  const [victim, survivor] = installation.workers as [PosthornProcess, PosthornProcess];
  await eventually(async () => {
    const [removed] = await column<string>('SELECT rows_removed FROM merchant_erasures');
    expect(Number(removed)).toBeGreaterThan(0);
  }, 30_000);
  await victim.end('SIGKILL');
  const sentWhenErasing = sent();
  await eventually(async () => expect((await client.get(`/v1/merchants/${gone}`)).status).toBe(404), 60_000);

  expect(await tablesWith([merchantUuid, endpointUuid, MARK, Buffer.from(MARK).toString('hex')])).toEqual([]);
  expect((await client.delete(`/v1/merchants/${gone}`)).status).toBe(404);
  expect(sent()).toBe(sentWhenErasing);
  expect(survivor.lines.some((line) => line.includes('"merchant erased"') && line.includes(gone))).toBe(true);
  expect((await client.get(`/v1/webhooks/${other.id}`)).status).toBe(200);
  expect((await client.get(`/v1/events/${kept.id}?merchant_id=${stays}`)).body).toMatchObject({
    deliveries: 1,
  });
  expect(await client.newMerchant(external)).not.toBe(gone);
}, 120_000);
