// Injected: SIGKILL to a worker by failpoints, between the receiver's answer and the settlement, and between the claim
//   and the first byte, under load.
// Observed: the receiver's ledger, the database, by the oracle; a second worker runs all the time.
// Must hold: nothing is lost; a delivery whose end nobody saw is sent again once its lease has ended, under the next
//   number and uncharged, and what had not left is no duplicate.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type FaultRig, startFaultRig } from '#testkit/faults/fault-rig.js';
import { eventually } from '#testkit/eventually.js';
import { hasRedis } from '#testkit/redis.js';

let rig: FaultRig;

beforeEach(async () => {
  rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres' });
}, 60_000);

afterEach(async () => {
  await rig.close();
}, 30_000);

test.each([
  ['after-response', 'worker killed between response and settle', 1],
  ['before-send', 'worker killed between claim and send', 0],
])('%s', async (failpoint, fault, duplicatesMin) => {
  const victim = await rig.installation.startWorker({ POSTHORN_DANGEROUS_FAILPOINTS: `${failpoint}:kill@5` });
  const load = rig.load(20);
  await rig.during(async () => {
    load.start();
    await eventually(() => expect(victim.child.signalCode).toBe('SIGKILL'), 20_000);
  });
  await load.untilAccepted(40);
  await load.stop();
  await rig.settled(30_000);
  const { lost, duplicates } = await rig.verdict(fault);
  expect(lost).toBe(0);
  expect(duplicates).toBeGreaterThanOrEqual(duplicatesMin);
  if (failpoint === 'before-send') expect(duplicates).toBe(0);
});
