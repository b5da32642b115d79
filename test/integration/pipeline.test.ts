import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { inTurn, respond } from '#testkit/receiver/behaviour.js';
import { eventually } from '#testkit/eventually.js';

let db: TestDatabase;
let rig: PipelineRig;
let receiver: Receiver;

beforeAll(async () => {
  db = await createTestDatabase();
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  receiver = await startReceiver();
}, 60_000);

afterAll(async () => {
  await rig.close();
  await receiver.close();
  await db.drop();
});

const ROOMS = { perEndpoint: 100, endpoints: [], perMerchant: 100, merchants: [] };

interface DeliveryRow {
  status: string;
  attempt_count: number;
  last_outcome: string | null;
  completed_at: Date | null;
  error_code: string | null;
}

async function deliveriesOf(endpointId: string): Promise<DeliveryRow[]> {
  return rig.database.$queryRaw<DeliveryRow[]>`
    SELECT status, attempt_count, last_outcome, completed_at, error_code FROM deliveries
    WHERE endpoint_id = ${endpointId}::uuid ORDER BY id`;
}

async function openCount(endpointId: string): Promise<number> {
  const [row] = await rig.database.$queryRaw<{ n: bigint }[]>`
    SELECT count(*) AS n FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid`;
  return Number(row?.n);
}

test('an event reaches its endpoint byte for byte and is logged', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/first'));
  const json = '{"amount":1.10,"big":12345678901234567890,"a":1,"a":2}';

  const outcome = await rig.send(rig.draft(merchantId, { json, producerId: 'pay-1' }));
  expect(outcome).toMatchObject({ kind: 'accepted', events: [{ publicId: 'pay-1', deliveries: 1 }] });

  await eventually(async () => expect((await deliveriesOf(endpointId))[0]?.status).toBe('succeeded'));
  const request = receiver.requests.find(({ path }) => path === '/first');
  expect(request?.body.toString()).toContain(`"data":${json}}`);
  expect(request?.headers['x-posthorn-event-id']).toBe('pay-1');
  expect(request?.headers['x-posthorn-attempt']).toBe('1');
  expect(await deliveriesOf(endpointId)).toMatchObject([
    { status: 'succeeded', attempt_count: 1, last_outcome: 'succeeded', completed_at: expect.any(Date) },
  ]);
  expect(await openCount(endpointId)).toBe(0);
});

test('the same producer id with the same content sends nothing new, with other content conflicts', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/same'));
  const event = () => rig.draft(merchantId, { producerId: 'same-1' });
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => rig.send(event())));
  expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size).toBe(1);
  expect(await rig.send(rig.draft(merchantId, { producerId: 'same-1', json: '{"amount":1.1}' }))).toEqual({
    kind: 'conflict',
    index: 0,
  });
  // A batch repeats one and adds one.
  const batch = await rig.send(event(), rig.draft(merchantId, { producerId: 'same-2' }));
  expect(batch).toMatchObject({ kind: 'accepted', events: [{ publicId: 'same-1' }, { publicId: 'same-2' }] });
  // A batch with one conflict writes nothing at all.
  const refused = await rig.send(
    rig.draft(merchantId, { producerId: 'same-3' }),
    rig.draft(merchantId, { producerId: 'same-1', type: 'other' }),
  );
  expect(refused).toEqual({ kind: 'conflict', index: 1 });
  await eventually(async () => expect(await openCount(endpointId)).toBe(0));
  expect(await deliveriesOf(endpointId)).toHaveLength(2);
});

test('what is accepted later is later in the log, also while the clock is being corrected', async () => {
  const merchantId = await rig.merchant();
  const accepted: string[] = [];
  for (let stepMs = 0; stepMs < 50; stepMs += 10) {
    // Each commit teaches the clock anew, here that it was ahead.
    const localMs = rig.clock.localMs();
    rig.clock.learn(rig.clock.nowMs() - stepMs, localMs, localMs);
    const outcome = await rig.send(rig.draft(merchantId));
    if (outcome.kind === 'accepted') accepted.push(...outcome.events.map(({ publicId }) => publicId));
  }
  expect(accepted).toHaveLength(5);
  expect(accepted).toEqual(accepted.toSorted());
});

test('failures are retried by the schedule, then the delivery has failed', async () => {
  const merchantId = await rig.merchant();
  receiver.on('/fails', respond(500));
  const endpointId = await rig.endpoint(merchantId, receiver.url('/fails'), { retryScheduleSeconds: [0, 0] });
  await rig.send(rig.draft(merchantId));
  await eventually(async () => expect((await deliveriesOf(endpointId))[0]?.status).toBe('failed'));
  expect(await deliveriesOf(endpointId)).toMatchObject([
    { status: 'failed', attempt_count: 3, last_outcome: 'http_error' },
  ]);
  const attempts = receiver.requests.filter(({ path }) => path === '/fails');
  expect(attempts.map(({ headers }) => headers['x-posthorn-attempt'])).toEqual(['1', '2', '3']);
  expect(new Set(attempts.map(({ body }) => body.toString())).size).toBe(1);
});

test('410 disables the endpoint', async () => {
  const merchantId = await rig.merchant();
  receiver.on('/gone', respond(410));
  const endpointId = await rig.endpoint(merchantId, receiver.url('/gone'));
  await rig.send(rig.draft(merchantId));
  await eventually(async () => expect((await deliveriesOf(endpointId))[0]?.status).toBe('failed'));
  expect(
    await rig.database.endpoint.findUnique({ where: { id: endpointId }, include: { gate: true } }),
  ).toMatchObject({
    status: 'disabled',
    disabledReason: 'gone',
    gate: { status: 'disabled', consecutiveFailures: 1 },
  });
  expect(await rig.send(rig.draft(merchantId))).toMatchObject({ events: [{ deliveries: 0 }] });
});

test('a payload that the format cannot carry is a failed delivery without a request', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/flat'), { payloadFormat: 'flat' });
  await rig.send(rig.draft(merchantId, { json: '{"type":1}' }));
  expect(await deliveriesOf(endpointId)).toMatchObject([
    { status: 'failed', attempt_count: 0, error_code: 'payload_conflict', completed_at: expect.any(Date) },
  ]);
  expect(await openCount(endpointId)).toBe(0);
});

test('lost hints are found by the sweep, and a hint that comes a hundred times sends once', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/lost'));
  rig.queue.mode = 'lose';
  await rig.send(rig.draft(merchantId));
  rig.queue.mode = 'deliver';
  await rig.dispatcher.drained();
  expect(await rig.dispatcher.sweep(rig.inFlight.roomsAhead())).toMatchObject({ deliveries: 0 });
  await rig.database.$executeRaw`
    UPDATE open_deliveries SET hinted_until = now() WHERE endpoint_id = ${endpointId}::uuid`;
  expect(await rig.dispatcher.sweep(rig.inFlight.roomsAhead())).toMatchObject({ deliveries: 1 });
  const deliveryId = rig.queue.added.at(-1)?.deliveryIds[0] ?? '';
  await Promise.all(Array.from({ length: 100 }, () => rig.deliverer.begin('fast', [deliveryId])));
  await eventually(async () => expect((await deliveriesOf(endpointId))[0]?.status).toBe('succeeded'));
  expect(receiver.requests.filter(({ path }) => path === '/lost')).toHaveLength(1);
});

test('a queue that is away costs nothing but a moment', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/away'));
  rig.queue.mode = 'refuse';
  expect(await rig.send(rig.draft(merchantId))).toMatchObject({ kind: 'accepted' });
  await rig.dispatcher.drained();
  rig.queue.mode = 'deliver';
  expect(rig.hintErrors).toHaveLength(1);
  // For a moment nobody tries; then a sweep does what the hint was to do.
  await eventually(async () =>
    expect(await rig.dispatcher.sweep(rig.inFlight.roomsAhead())).toMatchObject({ deliveries: 1 }),
  );
  await eventually(async () => expect((await deliveriesOf(endpointId))[0]?.status).toBe('succeeded'));
});

test('a lease that ends is an unknown attempt, uncharged, and a late result corrects it', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/lease'));
  rig.queue.mode = 'lose';
  await rig.send(rig.draft(merchantId));
  rig.queue.mode = 'deliver';
  const [{ delivery_id: deliveryId } = { delivery_id: '' }] = await rig.database.$queryRaw<
    { delivery_id: string }[]
  >`
    SELECT delivery_id FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid`;
  const claim = { deliveryId, leaseToken: rig.ids.uuid(), attemptId: rig.ids.uuid() };
  const [claimed] = await rig.store.claim('fast', [claim], ROOMS);
  expect(claimed).toMatchObject({ attemptNumber: 1, failures: 0 });
  expect(await rig.store.claim('fast', [{ ...claim, leaseToken: rig.ids.uuid() }], ROOMS)).toEqual([]);

  await rig.database
    .$executeRaw`UPDATE open_deliveries SET lease_until = now() WHERE delivery_id = ${deliveryId}::uuid`;
  expect(await rig.store.reconcile({ deliveriesMax: 10 })).toBe(1);
  expect(await deliveriesOf(endpointId)).toMatchObject([
    { status: 'retrying', attempt_count: 1, last_outcome: 'unknown' },
  ]);

  if (claimed === undefined) throw new Error('not claimed');
  const attempt = {
    outcome: 'succeeded' as const,
    startedAtMs: Date.now(),
    durationMs: 5,
    statusCode: 200,
    errorCode: null,
    errorMessage: null,
    requestUrl: 'http://late.example',
    requestHeaders: [],
    responseHeaders: [],
    responseBody: Buffer.from('ok'),
    responseBodyTruncated: false,
    remoteAddress: null,
  };
  expect(await rig.store.settle([{ claim: claimed, attempt, step: { kind: 'succeeded' } }])).toEqual([
    { kind: 'final' },
  ]);
  expect(await deliveriesOf(endpointId)).toMatchObject([{ status: 'succeeded', last_outcome: 'succeeded' }]);
  expect(await openCount(endpointId)).toBe(0);
  const attempts = await rig.database.$queryRaw<{ outcome: string; number: number }[]>`
    SELECT outcome, number FROM attempts WHERE delivery_id = ${deliveryId}::uuid`;
  expect(attempts).toEqual([{ outcome: 'succeeded', number: 1 }]);
});

test('every attempt is counted in its five minutes, by outcome and duration', async () => {
  const merchantId = await rig.merchant();
  receiver.on('/counted', inTurn(respond(500), respond(200)));
  const endpointId = await rig.endpoint(merchantId, receiver.url('/counted'), { retryScheduleSeconds: [0] });
  await rig.send(rig.draft(merchantId), rig.draft(merchantId));
  await eventually(async () => expect(await openCount(endpointId)).toBe(0));
  const counts = await rig.database.$queryRaw<{ outcome: string; attempts: bigint; is_whole: boolean }[]>`
    SELECT outcome, sum(attempts)::bigint AS attempts, bool_and(extract(epoch FROM period_start)::bigint % 300 = 0) AS is_whole
    FROM delivery_stats WHERE endpoint_id = ${endpointId}::uuid GROUP BY outcome ORDER BY outcome`;
  expect(counts).toEqual([
    { outcome: 'http_error', attempts: 1n, is_whole: true },
    { outcome: 'succeeded', attempts: 2n, is_whole: true },
  ]);
});

test('a delivery that is open when its event has lost its bytes ends without a request', async () => {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, receiver.url('/erased'));
  rig.queue.mode = 'lose';
  await rig.send(rig.draft(merchantId));
  rig.queue.mode = 'deliver';
  await rig.database.$executeRaw`UPDATE events SET data = NULL WHERE merchant_id = ${merchantId}::uuid`;
  const [open] = await rig.database.$queryRaw<{ id: string }[]>`
    SELECT delivery_id AS id FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid`;
  expect(await (await rig.deliverer.begin('fast', [open?.id ?? ''])).ended).toEqual([{ kind: 'dropped' }]);
  expect(await deliveriesOf(endpointId)).toMatchObject([{ status: 'cancelled', attempt_count: 0 }]);
  expect(await openCount(endpointId)).toBe(0);
  const gate = await rig.database.endpointGate.findUniqueOrThrow({ where: { endpointId } });
  expect(gate.inFlight).toBe(0);
  expect(receiver.requests.filter(({ path }) => path === '/erased')).toEqual([]);
});
