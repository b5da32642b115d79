// Observed: what claim, sweep and settle do to a gate, on real statements. Time is moved by writing into the rows what a
// later moment would find there; PostgreSQL's own clock is never doubled.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { findAlarming } from '#adapters/postgres/find-alarming.js';
import { PipelineStatements } from '#adapters/postgres/pipeline-statements.js';
import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import { BREAKER } from '#domain/breaker.js';
import type { AttemptRecord, Claimed, SettlementStep } from '#pipeline/delivery-store.js';
import type { Lane } from '#pipeline/hint-queue.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import type { Rooms } from '#pipeline/rooms.js';

let db: TestDatabase;
let rig: PipelineRig;

beforeAll(async () => {
  db = await createTestDatabase();
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  rig.queue.mode = 'lose';
}, 60_000);

afterAll(async () => {
  await rig.close();
  await db.drop();
});

const WIDE: Rooms = { perEndpoint: 1_000, endpoints: [], perMerchant: 1_000, merchants: [] };

interface Gate {
  readonly in_flight: number;
  readonly lane: string;
  readonly breaker_state: string;
  readonly breaker_probe_wait_ms: number | null;
}

async function gateOf(endpointId: string): Promise<Gate | undefined> {
  const [gate] = await rig.database.$queryRaw<Gate[]>`
    SELECT in_flight, lane, breaker_state, breaker_probe_wait_ms FROM endpoint_gates
    WHERE endpoint_id = ${endpointId}::uuid`;
  return gate;
}

/** An endpoint with so many deliveries that are due. */
async function backlog(
  count: number,
  overrides: Parameters<PipelineRig['endpoint']>[2] = {},
): Promise<{ endpointId: string; merchantId: string; ids: string[] }> {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, 'http://127.0.0.1:9/', overrides);
  await rig.send(...Array.from({ length: count }, () => rig.draft(merchantId)));
  const rows = await rig.database.$queryRaw<{ id: string }[]>`
    SELECT delivery_id AS id FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid ORDER BY due_at, delivery_id`;
  return { endpointId, merchantId, ids: rows.map(({ id }) => id) };
}

function claim(
  ids: readonly string[],
  rooms: Rooms = WIDE,
  lane: Lane = 'fast',
  store: Pick<PostgresDeliveryStore, 'claim'> = rig.store,
): Promise<readonly Claimed[]> {
  return store.claim(
    lane,
    ids.map((deliveryId) => ({ deliveryId, leaseToken: rig.ids.uuid(), attemptId: rig.ids.uuid() })),
    rooms,
  );
}

function settle(
  claims: readonly Claimed[],
  attempt: Partial<AttemptRecord>,
  step: SettlementStep,
): Promise<unknown> {
  const record: AttemptRecord = {
    outcome: 'succeeded',
    startedAtMs: Date.now(),
    durationMs: 1,
    statusCode: 200,
    errorCode: null,
    errorMessage: null,
    requestUrl: 'http://127.0.0.1:9/',
    requestHeaders: [],
    responseHeaders: [],
    responseBody: null,
    responseBodyTruncated: false,
    remoteAddress: null,
    ...attempt,
  };
  return rig.store.settle(claims.map((claimed) => ({ claim: claimed, attempt: record, step })));
}

const TIMEOUT: Partial<AttemptRecord> = { outcome: 'timeout', statusCode: null };
const LATER: SettlementStep = { kind: 'retry', waitMs: 3_600_000 };

test('max_in_flight holds over claims of workers that run at once, and what is settled makes room', async () => {
  const { endpointId, ids } = await backlog(60, { maxInFlight: 10 });
  const workers = [0, 20, 40].map((start) => ({
    statements: new PipelineStatements(db.databaseUrl, 1),
    wanted: ids.slice(start, start + 20),
  }));
  const claims = await Promise.all(
    workers.map(async ({ statements, wanted }) => {
      const store = new PostgresDeliveryStore(rig.database, statements, rig.secretBox);
      return claim(wanted, WIDE, 'fast', store);
    }),
  );
  await Promise.all(workers.map(({ statements }) => statements.close()));
  const claimed = claims.flat();
  expect(claimed).toHaveLength(10);
  expect(await gateOf(endpointId)).toMatchObject({ in_flight: 10 });
  await settle(claimed.slice(0, 4), {}, { kind: 'succeeded' });
  expect(await gateOf(endpointId)).toMatchObject({ in_flight: 6 });
  await rig.store.release(claimed.slice(4, 7));
  expect(await gateOf(endpointId)).toMatchObject({ in_flight: 3 });
  expect(
    await rig.store.reconcile({ deliveriesMax: 10, leaseTokens: claimed.slice(7).map((c) => c.leaseToken) }),
  ).toBe(3);
  expect(await gateOf(endpointId)).toMatchObject({ in_flight: 0 });
  expect(await claim(ids.slice(20))).toHaveLength(10);
});

test('a count that a killed process left behind is put right, also while others claim and settle', async () => {
  const { endpointId, ids } = await backlog(30, { maxInFlight: 1_000 });
  const claimed = await claim(ids.slice(0, 10));
  await rig.database
    .$executeRaw`UPDATE endpoint_gates SET in_flight = 77 WHERE endpoint_id = ${endpointId}::uuid`;
  await Promise.all([
    rig.store.repairInFlight(),
    claim(ids.slice(10)),
    settle(claimed, {}, { kind: 'succeeded' }),
    rig.store.repairInFlight(),
  ]);
  await rig.store.repairInFlight();
  expect(await gateOf(endpointId)).toMatchObject({ in_flight: 20 });
});

test('rate_limit_per_second lets through what the bucket holds, and no saved-up burst', async () => {
  const { endpointId, ids } = await backlog(50, { rateLimitPerSecond: 5 });
  await rig.database.$executeRaw`
    UPDATE endpoint_gates SET rate_refilled_at = now() - interval '1 hour' WHERE endpoint_id = ${endpointId}::uuid`;
  expect(await claim(ids)).toHaveLength(5);
  expect((await claim(ids)).length).toBeLessThanOrEqual(1);
  await rig.database.$executeRaw`
    UPDATE endpoint_gates SET rate_tokens = 0, rate_refilled_at = now() - interval '400 ms' WHERE endpoint_id = ${endpointId}::uuid`;
  expect((await claim(ids)).length).toBe(2);
});

test("a worker's own rooms bound its claim by endpoint, by merchant and by bytes, oldest first", async () => {
  const { endpointId, merchantId, ids } = await backlog(20);
  const byEndpoint = await claim(ids, { ...WIDE, endpoints: [{ id: endpointId, room: 3 }] });
  expect(byEndpoint.map(({ deliveryId }) => deliveryId).sort()).toEqual(ids.slice(0, 3).sort());
  expect(await claim(ids, { ...WIDE, perEndpoint: 2 })).toHaveLength(2);
  expect(await claim(ids, { ...WIDE, merchants: [{ id: merchantId, room: 1 }] })).toHaveLength(1);
  await rig.database.$executeRaw`
    UPDATE open_deliveries SET data_bytes = 5000000 WHERE endpoint_id = ${endpointId}::uuid AND lease_until IS NULL`;
  expect(await claim(ids)).toHaveLength(2);
});

test('what a claim refuses is found by the next sweep', async () => {
  const { endpointId, ids } = await backlog(5, { maxInFlight: 2 });
  const claimed = await claim(ids);
  expect(claimed).toHaveLength(2);
  await settle(claimed, {}, { kind: 'succeeded' });
  const due = await rig.store.takeDue('fast', { deliveriesMax: 1_000, perEndpointMax: 1_000, rooms: WIDE });
  expect(due.filter((delivery) => delivery.endpointId === endpointId)).toHaveLength(2);
});

test('a sweep hints no more than there is room for, and a hint that leads to nothing keeps nobody waiting for long', async () => {
  const { endpointId, ids } = await backlog(9, { maxInFlight: 3 });
  await rig.store.unhint(ids);
  const swept = async () => {
    const due = await rig.store.takeDue('fast', {
      deliveriesMax: 1_000,
      perEndpointMax: 1_000,
      rooms: WIDE,
    });
    return due
      .filter((delivery) => delivery.endpointId === endpointId)
      .map(({ deliveryId }) => deliveryId)
      .sort();
  };
  expect(await swept()).toEqual(ids.slice(0, 3).sort());
  expect(await swept()).toEqual([]);
  const [claimed] = await claim(ids.slice(0, 1));
  expect(await swept()).toEqual([]);
  await settle([claimed as Claimed], {}, { kind: 'succeeded' });
  expect(await swept()).toEqual(ids.slice(3, 4));
  // As it is some seconds later: marked still, and found again only when the mark has run out.
  await rig.database.$executeRaw`
    UPDATE open_deliveries SET hinted_until = hinted_until - interval '3 seconds'
    WHERE endpoint_id = ${endpointId}::uuid AND hinted_until > now()`;
  expect(await swept()).toEqual(ids.slice(4, 7).sort());
});

test('a paused endpoint is neither swept nor claimed; on resume the oldest go first', async () => {
  const { endpointId, ids } = await backlog(6);
  await rig.database
    .$executeRaw`UPDATE endpoint_gates SET status = 'paused' WHERE endpoint_id = ${endpointId}::uuid`;
  expect(await claim(ids)).toEqual([]);
  const swept = () => rig.store.takeDue('fast', { deliveriesMax: 1_000, perEndpointMax: 3, rooms: WIDE });
  expect((await swept()).filter((delivery) => delivery.endpointId === endpointId)).toEqual([]);
  await rig.database
    .$executeRaw`UPDATE endpoint_gates SET status = 'enabled' WHERE endpoint_id = ${endpointId}::uuid`;
  const due = (await swept()).filter((delivery) => delivery.endpointId === endpointId);
  expect(due.map(({ deliveryId }) => deliveryId).sort()).toEqual(ids.slice(0, 3).sort());
});

test('a slow attempt moves its endpoint to the slow lane, and quick ones move it back after a while', async () => {
  const { endpointId, ids } = await backlog(6);
  await settle(await claim(ids.slice(0, 1)), { durationMs: 1_500 }, { kind: 'succeeded' });
  expect(await gateOf(endpointId)).toMatchObject({ lane: 'slow' });
  expect(await claim(ids)).toEqual([]);
  const due = await rig.store.takeDue('slow', { deliveriesMax: 1_000, perEndpointMax: 1_000, rooms: WIDE });
  expect(due.map(({ lane }) => lane)).toEqual(due.map(() => 'slow'));
  const slow = await claim(ids, WIDE, 'slow');
  expect(slow).toHaveLength(5);
  await settle(slow.slice(0, 1), {}, { kind: 'succeeded' });
  expect(await gateOf(endpointId)).toMatchObject({ lane: 'slow' });
  await rig.database
    .$executeRaw`UPDATE endpoint_gates SET lane_until = now() WHERE endpoint_id = ${endpointId}::uuid`;
  await settle(slow.slice(1, 2), {}, { kind: 'succeeded' });
  expect(await gateOf(endpointId)).toMatchObject({ lane: 'fast' });
  await rig.store.markSlow([endpointId]);
  expect(await gateOf(endpointId)).toMatchObject({ lane: 'slow' });
});

describe('the breaker', () => {
  async function age(endpointId: string, seconds: number): Promise<void> {
    await rig.database.$executeRaw`
      UPDATE endpoint_gates SET window_started_at = now() - ${seconds} * interval '1 second' WHERE endpoint_id = ${endpointId}::uuid`;
  }

  test('opens on much evidence over a good part of a minute only, probes, and drains slowly after a success', async () => {
    const { endpointId, ids } = await backlog(200, { maxInFlight: 1_000 });
    // A burst of failures, however large, is not an outage.
    await settle(await claim(ids.slice(0, 100)), TIMEOUT, LATER);
    expect(await gateOf(endpointId)).toMatchObject({ breaker_state: 'closed' });
    await age(endpointId, BREAKER.windowSecondsMin);
    const [opening, ...late] = await claim(ids.slice(100, 103));
    await settle([opening as Claimed], { ...TIMEOUT, startedAtMs: rig.clock.nowMs() }, LATER);
    expect(await gateOf(endpointId)).toMatchObject({ breaker_state: 'open', breaker_probe_wait_ms: 5_000 });
    // Those that were in flight then are no probes.
    // Claimed before it opened, though sent after.
    await settle(late, { ...TIMEOUT, startedAtMs: rig.clock.nowMs() + 50 }, LATER);
    expect(await gateOf(endpointId)).toMatchObject({ breaker_state: 'open', breaker_probe_wait_ms: 5_000 });
    expect(await claim(ids.slice(101))).toEqual([]);

    const probe = async (): Promise<readonly Claimed[]> => {
      await rig.database.$executeRaw`
        UPDATE endpoint_gates SET breaker_probe_at = now() WHERE endpoint_id = ${endpointId}::uuid`;
      return claim(ids.slice(103));
    };
    const first = await probe();
    expect(first).toHaveLength(1);
    expect(await claim(ids.slice(103))).toEqual([]);
    await settle(first, { ...TIMEOUT, startedAtMs: rig.clock.nowMs() }, LATER);
    expect(await gateOf(endpointId)).toMatchObject({ breaker_state: 'open', breaker_probe_wait_ms: 10_000 });

    await settle(await probe(), {}, { kind: 'succeeded' });
    expect(await gateOf(endpointId)).toMatchObject({
      breaker_state: 'draining',
      breaker_probe_wait_ms: null,
    });
    const drained = async (secondsAfter: number): Promise<number> => {
      await rig.database.$executeRaw`
        UPDATE endpoint_gates SET breaker_changed_at = now() - ${secondsAfter} * interval '1 second', rate_tokens = 0,
               rate_refilled_at = now() - interval '1 second' WHERE endpoint_id = ${endpointId}::uuid`;
      return (await claim(ids)).length;
    };
    expect(await drained(1)).toBe(5);
    expect(await drained(6)).toBe(10);
    expect(await drained(61)).toBeGreaterThan(20);
  });

  test('stays closed for answers that refuse a request, and while one in ten succeeds', async () => {
    const refusing = await backlog(120, { maxInFlight: 1_000 });
    await age(refusing.endpointId, 40);
    await settle(await claim(refusing.ids), { outcome: 'http_error', statusCode: 404 }, LATER);
    expect(await gateOf(refusing.endpointId)).toMatchObject({ breaker_state: 'closed' });

    const shaky = await backlog(120, { maxInFlight: 1_000 });
    await age(shaky.endpointId, 40);
    const claims = await claim(shaky.ids);
    await settle(claims.slice(0, 12), {}, { kind: 'succeeded' });
    await settle(claims.slice(12), { outcome: 'http_error', statusCode: 503 }, LATER);
    expect(await gateOf(shaky.endpointId)).toMatchObject({ breaker_state: 'closed' });
  });
});

test('a delivery that outlived two workers is a suspect: alone, and one at a time', async () => {
  const { ids } = await backlog(3);
  for (let round = 0; round < 2; round++) {
    const claimed = await claim(ids);
    expect(claimed).toHaveLength(3);
    await rig.store.reconcile({
      deliveriesMax: 10,
      leaseTokens: claimed.map(({ leaseToken }) => leaseToken),
    });
  }
  expect(await claim(ids)).toEqual([]);
  const [suspect, ...others] = await rig.store.takeDue('suspect', {
    deliveriesMax: 10,
    perEndpointMax: 10,
    rooms: WIDE,
  });
  expect(others).toEqual([]);
  expect(await rig.store.takeDue('suspect', { deliveriesMax: 10, perEndpointMax: 10, rooms: WIDE })).toEqual(
    [],
  );
  const leased = await claim([suspect?.deliveryId ?? ''], WIDE, 'suspect');
  expect(leased).toHaveLength(1);
  expect(await rig.store.takeDue('suspect', { deliveriesMax: 10, perEndpointMax: 10, rooms: WIDE })).toEqual(
    [],
  );
  await settle(leased, {}, { kind: 'succeeded' });
  expect(
    await rig.store.takeDue('suspect', { deliveriesMax: 10, perEndpointMax: 10, rooms: WIDE }),
  ).toHaveLength(1);
});

test('a sweep shares between endpoints: a backlog of one does not keep the others waiting', async () => {
  const large = await backlog(300, { maxInFlight: 1_000 });
  const small = await Promise.all(Array.from({ length: 5 }, () => backlog(2)));
  await rig.database.$executeRaw`UPDATE open_deliveries SET hinted_until = now() WHERE lease_until IS NULL`;
  const due = await rig.store.takeDue('fast', { deliveriesMax: 100, perEndpointMax: 50, rooms: WIDE });
  const count = (endpointId: string) => due.filter((delivery) => delivery.endpointId === endpointId).length;
  for (const { endpointId } of small) expect(count(endpointId)).toBe(2);
  expect(count(large.endpointId)).toBeLessThanOrEqual(50);
  expect(due.length).toBeLessThanOrEqual(100);
});

test('a delivery that outlived five workers raises an alarm, and waits longer each time, but never ends by itself', async () => {
  const { ids } = await backlog(1);
  const waits: number[] = [];
  for (let round = 1; round <= 8; round++) {
    await rig.database.$executeRaw`
      UPDATE open_deliveries SET due_at = now(), hinted_until = now() WHERE delivery_id = ${ids[0] ?? ''}::uuid`;
    const [claimed] = await claim(ids, WIDE, round <= 2 ? 'fast' : 'suspect');
    await rig.store.reconcile({ deliveriesMax: 1, leaseTokens: [claimed?.leaseToken ?? ''] });
    const [open] = await rig.database.$queryRaw<{ wait_s: number }[]>`
      SELECT extract(epoch FROM due_at - now())::float8 AS wait_s FROM open_deliveries
      WHERE delivery_id = ${ids[0] ?? ''}::uuid`;
    waits.push(Math.max(0, Math.round((open?.wait_s ?? 0) / 60)));
    const alarming = (await findAlarming(rig.database)).filter(({ deliveryId }) => deliveryId === ids[0]);
    expect(alarming).toHaveLength(round >= 5 ? 1 : 0);
  }
  expect(waits).toEqual([0, 0, 0, 0, 5, 10, 20, 40]);
});
