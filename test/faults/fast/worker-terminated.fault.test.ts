// Injected: SIGTERM to a worker with 100 deliveries in flight, under load, while another one runs.
// Observed: the exit code, the receiver's ledger and the database, by the oracle.
// Must hold: the worker ends in order and in time; what it had sent is settled by it, so nothing is sent twice and no
//   attempt is unknown or failed.
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { withClient } from '#testkit/faults/oracle.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { after } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';

const IN_FLIGHT = 100;
const EXIT_MS_MAX = 15_000;

test('SIGTERM with 100 in flight', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres' });
  try {
    // Several endpoints, so that no bound on one of them keeps the 100 from being in flight together.
    await rig.addMerchant(5, { timeout_ms: 10_000 });
    rig.receiver.on('*', after(1_500));
    const load = rig.load(10, rig.merchantIds.slice(-1));
    load.burst(IN_FLIGHT / 5);
    await rig.receiver.waitFor(IN_FLIGHT, 20_000);
    load.start();
    const victim = rig.liveWorkers()[0] as PosthornProcess;
    const ended = await rig.during(async () => {
      const [result] = await Promise.all([victim.end('SIGTERM'), rig.installation.startWorker()]);
      return result;
    });
    expect(ended.exitCode).toBe(0);
    expect(ended.tookMs).toBeLessThan(EXIT_MS_MAX);
    await load.untilAccepted(load.accepted.size + 10);
    await load.stop();
    await rig.settled(40_000);
    expect(await rig.verdict('SIGTERM with 100 in flight')).toMatchObject({ lost: 0, duplicates: 0 });
    const outcomes = await withClient(rig.installation.database.databaseUrl, async (client) => {
      const { rows } = await client.query<{ outcome: string }>('SELECT DISTINCT outcome FROM attempts');
      return rows.map(({ outcome }) => outcome);
    });
    expect(outcomes).toEqual(['succeeded']);
  } finally {
    await rig.close();
  }
}, 90_000);
