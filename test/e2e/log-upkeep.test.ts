// What a worker does with a log that has grown old, and what the API makes of the attempts that it counts. The old day is
// made by SQL before any process runs.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectDatabase } from '#adapters/postgres/database.js';
import { addDelivery, addEndpoint, addMerchant } from '#adapters/postgres/delivery-log-fixtures.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { formatId } from '#domain/ids.js';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase } from '#testkit/postgres.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { inTurn, respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';

const DAY_MS = 86_400_000;
const RETENTION_DAYS = 3;

let installation: Installation;
let receiver: Receiver;
let client: ApiClient;
const ids = { young: '', old: '' };

beforeAll(async () => {
  const database = await createTestDatabase();
  const connection = connectDatabase(database.databaseUrl, 2);
  const [oldMs, youngMs] = [5, 2].map((days) => Date.now() - days * DAY_MS) as [number, number];
  await ensurePartitions(connection, oldMs);
  const merchantId = await addMerchant(connection);
  const of = { merchantId, endpointId: await addEndpoint(connection, merchantId) };
  const old = await addDelivery(connection, { ...of, createdAtMs: oldMs, dueAt: 'now()', producerId: 'old' });
  const young = await addDelivery(connection, {
    ...of,
    createdAtMs: youngMs,
    status: 'succeeded',
    producerId: 'young',
  });
  [ids.old, ids.young] = [old, young].map(({ id }) => formatId('dlv', id)) as [string, string];
  // It would be sent otherwise, before it expires.
  await connection.endpointGate.updateMany({ data: { status: 'paused' } });
  await connection.$disconnect();
  const environment = { POSTHORN_RETENTION_DAYS: String(RETENTION_DAYS) };
  [installation, receiver] = await Promise.all([
    startInstallation({ queue: 'postgres', workers: 2, database, environment }),
    startReceiver(),
  ]);
  client = installation.client;
}, 60_000);

afterAll(async () => {
  await installation.close();
  await receiver.close();
}, 30_000);

test('a day that is over expires, goes, and is forgotten; younger ones stay', async () => {
  await eventually(
    async () => expect((await client.get(`/v1/deliveries/${ids.old}`)).status).toBe(404),
    30_000,
  );
  expect((await client.get('/v1/events/old')).status).toBe(404);
  expect((await client.get(`/v1/deliveries/${ids.young}`)).body).toMatchObject({ status: 'succeeded' });
  expect((await client.get('/v1/events/young')).status).toBe(200);
  const told = installation.workers.flatMap(({ lines }) => lines);
  expect(told.filter((line) => line.includes('still open at the end of the retention'))).toHaveLength(1);
  expect(told.some((line) => line.includes('partitions dropped'))).toBe(true);
  const merchant = { name: 'x', payload_retention_days: RETENTION_DAYS + 1 };
  expect((await client.post('/v1/merchants', merchant)).status).toBe(422);
});

test('attempts are counted as they end', async () => {
  const merchantId = await client.newMerchant();
  const schedule = { retry_schedule_seconds: [1] };
  const webhook = await client.newWebhook(merchantId, receiver.url('/counted'), schedule);
  receiver.on('/counted', inTurn(respond(500), respond(302), respond(200)));
  // The first attempt fails, so does its retry; the second event gets through at once.
  await client.sendEvent(merchantId);
  await eventually(async () => {
    const { body } = await client.get<{ data: { status: string }[] }>(
      `/v1/webhooks/${webhook.id}/deliveries`,
    );
    expect(body.data).toMatchObject([{ status: 'failed' }]);
  });
  await client.sendEvent(merchantId);
  await eventually(async () => {
    const { body } = await client.get(`/v1/webhooks/${webhook.id}/stats?window=1h`);
    expect(body).toMatchObject({
      attempts: 3,
      outcomes: { succeeded: 1, http_error: 1, redirect: 1, timeout: 0 },
      success_rate: 1 / 3,
      latency_ms: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) },
    });
    const series = body['series'] as { attempts: number; succeeded: number; failed: number }[];
    expect(series.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(3);
    expect(series.reduce((sum, { failed }) => sum + failed, 0)).toBe(2);
  });
});
