// Injected: FLUSHALL while 10,000 deliveries of two merchants are open: once while they are queued and no worker runs, so
//   that every hint is lost, and once more while their hints are queued anew and 500 deliveries have begun to arrive.
// Observed: the receiver's ledger and the database, by the oracle.
// Must hold: everything arrives without a restart or a person. What was in flight is settled although its job is gone.
// Not asserted: how many hints the queue held, which is bounded.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type FaultRig, startFaultRig } from '#testkit/faults/fault-rig.js';
import { redisCommand } from '#testkit/faults/redis-command.js';
import { after } from '#testkit/receiver/behaviour.js';
import { describeUnless, redisMissing } from './describe-unless.js';

const EVENTS = 2_000;
const ENDPOINTS = 5;

describeUnless(redisMissing(), 'Redis flushed', () => {
  let rig: FaultRig;

  beforeAll(async () => {
    rig = await startFaultRig({ queue: 'redis', workers: 0 });
  }, 60_000);

  afterAll(async () => {
    await rig.close();
  }, 30_000);

  test('FLUSHALL with 10,000 deliveries queued and in flight', async () => {
    await rig.addMerchant(ENDPOINTS);
    await rig.addMerchant(ENDPOINTS);
    const load = rig.load(20, rig.merchantIds.slice(-2));
    await load.postBatches(EVENTS / 250, 250);
    rig.receiver.on('*', after(50));
    const flush = () => redisCommand(String(rig.installation.redis?.url), 'FLUSHALL');
    await rig.during(async () => {
      await flush();
      await rig.installation.startWorker();
      await rig.receiver.waitFor(500, 60_000);
      await flush();
    });
    expect(rig.receiver.requests.length).toBeLessThan(EVENTS * ENDPOINTS);
    load.start();
    await load.untilAccepted(EVENTS + 100);
    await load.stop();
    await rig.settled(150_000);
    expect(await rig.verdict('FLUSHALL with 10,000 open')).toMatchObject({ lost: 0, duplicates: 0 });
  });
});
