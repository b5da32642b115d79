// Injected: SIGKILL to a worker after its request has left (the receiver does it, before it answers), under load.
// Observed: the receiver's ledger, the database, by the oracle.
// Must hold: nothing is lost; a delivery whose end nobody saw is sent again once its lease has ended, under the next
//   number and uncharged.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type FaultRig, startFaultRig } from '#testkit/faults/fault-rig.js';
import { eventually } from '#testkit/eventually.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';

let rig: FaultRig;

beforeEach(async () => {
  rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres' });
}, 60_000);

afterEach(async () => {
  await rig.close();
}, 30_000);

test('after its request has left', async () => {
  const load = rig.load(20);
  load.start();
  await load.untilAccepted(20);
  await rig.during(async () => {
    const [victim] = rig.liveWorkers() as [PosthornProcess];
    rig.receiver.on('*', (exchange) => {
      // It is the only one, so it is the one that has sent this.
      victim.child.kill('SIGKILL');
      respond()(exchange);
    });
    await eventually(() => expect(victim.child.signalCode).toBe('SIGKILL'));
    await rig.installation.startWorker();
  });
  await load.untilAccepted(load.accepted.size + 40);
  await load.stop();
  await rig.settled(30_000);
  const { lost, duplicates } = await rig.verdict('worker killed after send');
  expect(lost).toBe(0);
  expect(duplicates).toBeGreaterThanOrEqual(1);
}, 60_000);
