/**
 * Claims whose answer never comes, because the connection broke under them.
 *
 * Doubled: the break, by an error as the driver throws it; before the statement, or after it has committed. The database is a real one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isDatabaseAway } from '#adapters/postgres/database-error.js';
import { Claimer } from '#pipeline/claim.js';
import type { DeliveryStore } from '#pipeline/delivery-store.js';
import { InFlight } from '#pipeline/in-flight.js';
import { Releaser } from '#pipeline/settle.js';
import { eventually } from '#testkit/eventually.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';

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

const brokenOff = (): Error =>
  Object.assign(new Error('terminating connection due to administrator command'), { code: '57P01' });

/** A delivery that was hinted just now. */
async function hintedDelivery(): Promise<string> {
  const merchantId = await rig.merchant();
  const endpointId = await rig.endpoint(merchantId, 'http://127.0.0.1:1/');
  await rig.send(rig.draft(merchantId));
  const [open] = await rig.database.$queryRaw<{ id: string }[]>`
    SELECT delivery_id AS id FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid AND hinted_until > now()`;
  if (open === undefined) throw new Error('it is not open, or not hinted');
  return open.id;
}

function claimerOn(claim: DeliveryStore['claim'], release: DeliveryStore['release']): Claimer {
  const store = {
    release,
    reconcile: rig.store.reconcile.bind(rig.store),
    cancel: rig.store.cancel.bind(rig.store),
  };
  const unhint = rig.store.unhint.bind(rig.store);
  const releaser = new Releaser({ ...store, unhint }, { isDatabaseAway });
  const monotonicMs = () => performance.now();
  return new Claimer({ claim }, rig.ids, new InFlight(monotonicMs), 'fast', monotonicMs, releaser);
}

async function stateOf(deliveryId: string) {
  const [state] = await rig.database.$queryRaw<object[]>`
    SELECT o.lease_until IS NOT NULL AS is_leased, o.hinted_until > now() AS is_hinted, o.attempt_number, g.in_flight
    FROM open_deliveries o JOIN endpoint_gates g USING (endpoint_id) WHERE o.delivery_id = ${deliveryId}::uuid`;
  return state;
}

const FREE = { is_leased: false, is_hinted: false, attempt_number: 0, in_flight: 0 };

test.each([
  { what: 'was made', isMade: true },
  { what: 'was not made', isMade: false },
])('a claim that $what leaves its delivery free for everybody soon after', async ({ isMade }) => {
  const deliveryId = await hintedDelivery();
  let released = 0;
  const claimer = claimerOn(
    async (...wanted) => {
      if (isMade) expect(await rig.store.claim(...wanted)).toHaveLength(1);
      throw brokenOff();
    },
    async (claims) => {
      // The database takes its time to come back.
      if (++released <= 2) throw brokenOff();
      await rig.store.release(claims);
    },
  );
  await expect(claimer.claim(deliveryId)).rejects.toThrow('terminating connection');
  expect(await stateOf(deliveryId)).toMatchObject({ is_leased: isMade, is_hinted: true });
  await eventually(async () => expect(await stateOf(deliveryId)).toEqual(FREE));
});

test('what another worker has claimed meanwhile stays its own', async () => {
  const deliveryId = await hintedDelivery();
  const claimer = claimerOn(() => Promise.reject(brokenOff()), rig.store.release.bind(rig.store));
  await expect(claimer.claim(deliveryId)).rejects.toThrow('terminating connection');
  await rig.store.claim(
    'fast',
    [{ deliveryId, leaseToken: rig.ids.uuid(), attemptId: rig.ids.uuid() }],
    new InFlight(() => 0).rooms('fast'),
  );
  await delay(TAKEN_BACK_BY_MS);
  expect(await stateOf(deliveryId)).toMatchObject({ is_leased: true, attempt_number: 1, in_flight: 1 });
});

test('after any other error nothing is taken back: it would come again at once', async () => {
  const deliveryId = await hintedDelivery();
  const claimer = claimerOn(
    () => Promise.reject(Object.assign(new Error('a bug'), { code: '42883' })),
    rig.store.release.bind(rig.store),
  );
  await expect(claimer.claim(deliveryId)).rejects.toThrow('a bug');
  await delay(TAKEN_BACK_BY_MS);
  expect(await stateOf(deliveryId)).toMatchObject({ is_leased: false, is_hinted: true });
});

/** Twice the first wait. */
const TAKEN_BACK_BY_MS = 500;
