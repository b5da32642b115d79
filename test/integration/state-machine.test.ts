// Random interleavings of everything that changes a delivery, against the real statements, partly at once.
// Doubled: time, by writing into a row what a later moment would find there; the receiver, whose answers are made up; the
// queue, which loses every hint, so that only what the database says counts.
// Observed: after every step each delivery, its open row, its attempts and the gates, by the invariants of `faults`; and
// that in the end, once every endpoint is open, everything becomes final.
// Not asserted: which of several commands that run at once wins.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cancelDelivery, cancelForClosedEndpoints } from '#adapters/postgres/cancel-deliveries.js';
import { EndpointRepository } from '#adapters/postgres/endpoints.js';
import { PostgresRecoveryStore } from '#adapters/postgres/recover-batch.js';
import { retryDelivery } from '#adapters/postgres/retry-delivery.js';
import type { AttemptRecord, Claimed, Settlement, SettlementStep } from '#pipeline/delivery-store.js';
import { HINT_TTL_MS, LANES, type Lane } from '#pipeline/hint-queue.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import type { Rooms } from '#pipeline/rooms.js';

const RUNS = 100;
/** With one to three commands each, about 25. */
const STEPS_MAX = 20;
/** A failure is shrunk for as long as this leaves; a slow machine makes fewer runs. */
const TIME_LIMIT_MS = 60_000;
const ENDPOINTS = 2;
/** After this many rounds of sweep, claim and success nothing may be open any more. */
const DRAIN_ROUNDS_MAX = 100;

let db: TestDatabase;
let rig: PipelineRig;
let endpoints: EndpointRepository;

beforeAll(async () => {
  db = await createTestDatabase();
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
  rig.queue.mode = 'lose';
  endpoints = new EndpointRepository(rig.database, rig.secretBox, rig.ids);
}, 60_000);

afterAll(async () => {
  await rig.close();
  await db.drop();
});

/** `of` numbers choose among what there is at that moment. */
type Command =
  | { readonly do: 'accept' | 'end closed' | 'reconcile' | 'repair' }
  | { readonly do: 'sweep'; readonly lane: Lane }
  | { readonly do: 'claim'; readonly lane: Lane; readonly of: number; readonly count: number }
  | { readonly do: 'settle'; readonly of: number; readonly result: Result; readonly isSlow: boolean }
  | {
      readonly do: 'settle again' | 'release' | 'give up' | 'expire' | 'retry' | 'cancel' | 'come due';
      readonly of: number;
    }
  | { readonly do: 'recover'; readonly of: number; readonly statuses: string[] }
  | { readonly do: 'pause' | 'enable' | 'disable'; readonly of: number };

type Result = 'success' | 'failure' | 'failure, later' | 'final failure' | 'gone';

const aLane = fc.constantFrom<Lane>('fast', 'fast', 'fast', 'slow', 'suspect');
const of = fc.nat({ max: 1_000 });
const commandArbitrary: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('accept' as const) }) },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      lane: aLane,
      of,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      of,
      result: fc.constantFrom<Result>(
        'success',
        'failure',
        'failure',
        'failure, later',
        'final failure',
        'gone',
      ),
      isSlow: fc.boolean(),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'settle again',
        'release',
        'give up',
        'expire',
        'expire',
        'retry',
        'retry',
        'cancel',
        'come due',
      ),
      of,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sweep' as const), lane: aLane }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('end closed', 'repair', 'reconcile', 'reconcile') }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('recover' as const),
      of,
      statuses: fc.subarray(['failed', 'cancelled', 'succeeded'], { minLength: 1 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('pause', 'enable', 'enable', 'disable'), of }) },
);

/** Commands of one step run at once. */
const stepsArbitrary = fc.array(fc.array(commandArbitrary, { minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: STEPS_MAX,
  size: 'max',
});

/** What the tests' workers remember: ids that they have seen, claims whose result they still owe. */
class World {
  deliveryIds: string[] = [];
  readonly claims: Claimed[] = [];
  readonly settled: Settlement[] = [];
  readonly succeeded = new Set<string>();

  constructor(
    readonly merchantId: string,
    readonly endpointIds: readonly string[],
  ) {}

  delivery(choice: number): string | undefined {
    return this.deliveryIds[choice % this.deliveryIds.length];
  }

  endpoint(choice: number): string {
    return this.endpointIds[choice % this.endpointIds.length] as string;
  }

  /** Of a claim that is settled or released nobody else may come with a result. */
  takeClaim(choice: number): Claimed | undefined {
    return this.claims.splice(choice % Math.max(1, this.claims.length), 1)[0];
  }
}

async function newWorld(): Promise<World> {
  // There is something only after a run that failed, and then it is in the way of its smaller versions.
  await rig.database.$executeRaw`DELETE FROM open_deliveries`;
  const merchantId = await rig.merchant();
  const endpointIds: string[] = [];
  for (let made = 0; made < ENDPOINTS; made++) {
    endpointIds.push(await rig.endpoint(merchantId, 'http://127.0.0.1:9/', { maxInFlight: 3 }));
  }
  return new World(merchantId, endpointIds);
}

const WIDE: Rooms = { perEndpoint: 100, endpoints: [], perMerchant: 100, merchants: [] };

async function run(world: World, command: Command): Promise<void> {
  switch (command.do) {
    case 'accept':
      await rig.send(rig.draft(world.merchantId));
      return;
    case 'sweep':
      await rig.store.takeDue(command.lane, { deliveriesMax: 10, perEndpointMax: 3, rooms: WIDE });
      return;
    case 'claim': {
      const start = command.of % Math.max(1, world.deliveryIds.length);
      return claim(world, command.lane, world.deliveryIds.slice(start, start + command.count));
    }
    case 'settle': {
      const claimed = world.takeClaim(command.of);
      if (claimed === undefined) return;
      return settle(world, settlementOf(claimed, command.result, command.isSlow));
    }
    case 'settle again': {
      // A commit whose answer got lost is written once more.
      const settlement = world.settled.at(-1 - (command.of % Math.max(1, world.settled.length)));
      if (settlement !== undefined) await rig.store.settle([settlement]);
      return;
    }
    case 'release': {
      const claimed = world.takeClaim(command.of);
      if (claimed !== undefined) await rig.store.release([claimed]);
      return;
    }
    case 'give up': {
      // Its worker stops; a result that was on its way may still come.
      const claimed = world.claims[command.of % Math.max(1, world.claims.length)];
      if (claimed === undefined) return;
      await rig.store.reconcile({ deliveriesMax: 1, leaseTokens: [claimed.leaseToken] });
      return;
    }
    case 'expire':
      await rig.database.$executeRaw`
        UPDATE open_deliveries SET lease_until = now() - interval '1 second'
        WHERE delivery_id = ${world.delivery(command.of) ?? null}::uuid AND lease_until IS NOT NULL`;
      return;
    case 'come due':
      await rig.database.$executeRaw`
        UPDATE open_deliveries SET due_at = now(), hinted_until = now()
        WHERE delivery_id = ${world.delivery(command.of) ?? null}::uuid AND lease_until IS NULL`;
      return;
    case 'reconcile':
      await rig.store.reconcile({ deliveriesMax: 10 });
      return;
    case 'repair':
      await rig.store.repairInFlight();
      return;
    case 'end closed':
      await cancelForClosedEndpoints(rig.database, 10);
      return;
    case 'retry': {
      const id = world.delivery(command.of);
      if (id !== undefined) await retryDelivery(rig.database, { id });
      return;
    }
    case 'cancel': {
      const id = world.delivery(command.of);
      if (id !== undefined) await cancelDelivery(rig.database, { id });
      return;
    }
    case 'recover':
      return recover(world, world.endpoint(command.of), command.statuses);
    case 'pause':
    case 'enable':
    case 'disable':
      await endpoints.update({ id: world.endpoint(command.of) }, () => ({
        status: STATUS_AFTER[command.do],
      }));
      return;
  }
}

/** As the API makes it, without the count. Whoever runs at the same time may take batches of it. */
async function recover(world: World, endpointId: string, statuses: string[]): Promise<void> {
  const [clock] = await rig.database.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
  const now = new Date((clock?.now.getTime() ?? 0) + 1);
  await rig.database.recovery.create({
    data: {
      id: rig.ids.uuid(),
      merchantId: world.merchantId,
      endpointId,
      since: new Date(now.getTime() - 3_600_000),
      until: now,
      createdAt: now,
      statuses,
      status: 'running',
      total: 0,
    },
  });
  const store = new PostgresRecoveryStore(rig.database);
  while ((await store.recoverBatch(2)) !== null);
}

const STATUS_AFTER = { pause: 'paused', enable: 'enabled', disable: 'disabled' } as const;

async function claim(world: World, lane: Lane, deliveryIds: readonly string[]): Promise<void> {
  if (deliveryIds.length === 0) return;
  const wanted = deliveryIds.map((deliveryId) => ({
    deliveryId,
    leaseToken: rig.ids.uuid(),
    attemptId: rig.ids.uuid(),
  }));
  world.claims.push(...(await rig.store.claim(lane, wanted, WIDE)));
}

async function settle(world: World, settlement: Settlement): Promise<void> {
  await rig.store.settle([settlement]);
  world.settled.push(settlement);
}

const STEP_OF: Readonly<Record<Result, SettlementStep>> = {
  success: { kind: 'succeeded' },
  failure: { kind: 'retry', waitMs: 0 },
  'failure, later': { kind: 'retry', waitMs: 3_600_000 },
  'final failure': { kind: 'failed', isGone: false },
  gone: { kind: 'failed', isGone: true },
};

function settlementOf(claimed: Claimed, result: Result, isSlow: boolean): Settlement {
  const isSuccess = result === 'success';
  const attempt: AttemptRecord = {
    outcome: isSuccess ? 'succeeded' : 'http_error',
    startedAtMs: Date.now(),
    durationMs: isSlow ? 2_000 : 1,
    statusCode: isSuccess ? 200 : result === 'gone' ? 410 : 500,
    errorCode: null,
    errorMessage: null,
    requestUrl: 'http://127.0.0.1:9/',
    requestHeaders: [],
    responseHeaders: null,
    responseBody: null,
    responseBodyTruncated: false,
    remoteAddress: null,
  };
  return { claim: claimed, attempt, step: STEP_OF[result] };
}

/** A late success takes the delivery from a second lease, and a retry by hand then begins a third. */
const DISPLACED_LEASE: Command[][] = (
  [
    { do: 'claim', lane: 'fast', of: 0, count: 1 },
    { do: 'give up', of: 0 },
    { do: 'claim', lane: 'fast', of: 0, count: 1 },
    { do: 'settle', of: 0, result: 'success', isSlow: false },
    { do: 'retry', of: 0 },
    { do: 'claim', lane: 'fast', of: 0, count: 1 },
    { do: 'settle', of: 0, result: 'success', isSlow: false },
    { do: 'settle', of: 0, result: 'success', isSlow: false },
  ] as const
).map((command) => [command]);

interface DeliveryRow {
  readonly id: string;
  readonly status: string;
  /** Names of the invariants that do not hold. */
  readonly faults: string[];
}

interface GateRow {
  readonly in_flight: number;
  readonly leases: number;
  readonly gate_status: string;
  readonly endpoint_status: string;
}

/** Looks at every delivery and gate of a run, and learns the ids of what was accepted. */
async function inspect(world: World): Promise<void> {
  const deliveries = await rig.database.$queryRaw<DeliveryRow[]>`
    SELECT d.id, d.status, array_remove(ARRAY[
      CASE WHEN final <> (o.delivery_id IS NULL) AND NOT (final AND (o.single OR d.status = 'succeeded'))
           THEN 'final, or one open row, or sent again after it succeeded' END,
      CASE WHEN o.single AND NOT final THEN 'only a final delivery is tried just once more' END,
      CASE WHEN final <> (d.completed_at IS NOT NULL) THEN 'completed when final' END,
      CASE WHEN num_nulls(o.lease_token, o.lease_until, o.attempt_id) NOT IN (0, 3) THEN 'a lease is whole' END,
      CASE WHEN o.hinted_until > greatest(o.due_at, now()) + ${HINT_TTL_MS} * interval '1 millisecond'
           THEN 'the sweep sees it in time' END,
      CASE WHEN a.count <> a.numbers THEN 'no number twice' END,
      CASE WHEN d.attempt_count <> a.highest THEN 'attempt_count is the highest number' END,
      CASE WHEN o.attempt_number <> d.attempt_count + (o.lease_until IS NOT NULL)::int
           THEN 'the next attempt has the next number' END,
      CASE WHEN NOT final AND (d.status = 'pending') <> (a.count = 0) THEN 'pending until one has ended' END
    ], NULL) AS faults
    FROM deliveries d
    CROSS JOIN LATERAL (SELECT d.status IN ('succeeded', 'failed', 'cancelled') AS final) AS f
    LEFT JOIN open_deliveries o ON o.delivery_id = d.id
    CROSS JOIN LATERAL (
      SELECT count(*)::int, count(DISTINCT number)::int AS numbers, coalesce(max(number), 0) AS highest
      FROM attempts WHERE delivery_id = d.id
    ) AS a
    WHERE d.endpoint_id = ANY (${world.endpointIds}::uuid[])
    ORDER BY d.id`;
  const gates = await rig.database.$queryRaw<GateRow[]>`
    SELECT g.in_flight, g.status AS gate_status, e.status AS endpoint_status,
           (SELECT count(*)::int FROM open_deliveries o
            WHERE o.endpoint_id = g.endpoint_id AND o.lease_until IS NOT NULL) AS leases
    FROM endpoint_gates g JOIN endpoints e ON e.id = g.endpoint_id
    WHERE g.endpoint_id = ANY (${world.endpointIds}::uuid[])`;

  world.deliveryIds = deliveries.map(({ id }) => id);
  expect(deliveries.filter(({ faults }) => faults.length > 0)).toEqual([]);
  expect(deliveries.filter(({ id, status }) => world.succeeded.has(id) && status !== 'succeeded')).toEqual(
    [],
  );
  for (const { id, status } of deliveries) if (status === 'succeeded') world.succeeded.add(id);
  expect(gates.filter((gate) => gate.in_flight !== gate.leases)).toEqual([]);
  expect(gates.filter((gate) => gate.gate_status !== gate.endpoint_status)).toEqual([]);
}

/** With every endpoint open, every lease ended and all that waits come due, sweeps and successes leave nothing open. */
async function drain(world: World): Promise<void> {
  for (const id of world.endpointIds) await endpoints.update({ id }, () => ({ status: 'enabled' }));
  await rig.database.$executeRaw`
    UPDATE open_deliveries SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL`;
  await rig.store.reconcile({ deliveriesMax: 1_000 });
  await rig.database.$executeRaw`UPDATE open_deliveries SET due_at = now(), hinted_until = now()`;
  world.claims.length = 0;
  let left = await openCount();
  for (let round = 0; left > 0 && round < DRAIN_ROUNDS_MAX; round++) {
    for (const lane of LANES) {
      const due = await rig.store.takeDue(lane, { deliveriesMax: 100, perEndpointMax: 100, rooms: WIDE });
      await claim(
        world,
        lane,
        due.map(({ deliveryId }) => deliveryId),
      );
    }
    const settlements = world.claims.splice(0).map((claimed) => settlementOf(claimed, 'success', false));
    if (settlements.length > 0) await rig.store.settle(settlements);
    left = await openCount();
  }
  expect({ left }).toEqual({ left: 0 });
}

async function openCount(): Promise<number> {
  const [row] = await rig.database.$queryRaw<{ n: number }[]>`SELECT count(*)::int AS n FROM open_deliveries`;
  return row?.n ?? Number.NaN;
}

test(
  'no interleaving leaves a delivery outside its states, or two attempts with one number',
  async () => {
    const giveUpMs = performance.now() + TIME_LIMIT_MS;
    await fc.assert(
      fc.asyncProperty(stepsArbitrary, async (steps) => {
        // fast-check's own limit would end the test in the middle of a run.
        if (performance.now() > giveUpMs) return;
        const world = await newWorld();
        await run(world, { do: 'accept' });
        await inspect(world);
        for (const commands of steps) {
          await Promise.all(commands.map((command) => run(world, command)));
          await inspect(world);
        }
        await drain(world);
        await inspect(world);
      }),
      { numRuns: RUNS, examples: [[DISPLACED_LEASE]] },
    );
  },
  2 * TIME_LIMIT_MS,
);
