// Injected: a worker is killed with 100 deliveries in flight, Redis forgets everything, and five workers start at once on
//   2,000 open deliveries: five dispatchers and five reconcilers on the same rows.
// Observed: the receiver's ledger and the database, by the oracle.
// Must hold: each delivery that was not in flight is sent once; each that was, once more, with one unknown attempt in the
//   log and not five.
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { withClient } from '#testkit/faults/oracle.js';
import { redisCommand } from '#testkit/faults/redis-command.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { hang, respond } from '#testkit/receiver/behaviour.js';
import { describeUnless, redisMissing } from './describe-unless.js';

const EVENTS = 1_000;
const IN_FLIGHT = 100;

describeUnless(redisMissing(), 'five workers', () => {
  test('five dispatchers and five reconcilers at once', async () => {
    const rig = await startFaultRig({ queue: 'redis', workers: 0 });
    try {
      await rig.addMerchant(2, { timeout_ms: 10_000 });
      rig.receiver.on('*', hang());
      const load = rig.load(20, rig.merchantIds.slice(-1));
      await load.postBatches(EVENTS / 250, 250);
      const victim: PosthornProcess = await rig.installation.startWorker();
      await rig.receiver.waitFor(IN_FLIGHT, 30_000);
      await rig.during(async () => {
        await victim.end('SIGKILL');
        await redisCommand(String(rig.installation.redis?.url), 'FLUSHALL');
        rig.receiver.on('*', respond());
        await Promise.all(Array.from({ length: 5 }, () => rig.installation.startWorker()));
      });
      await rig.settled(120_000);
      const { lost, duplicates } = await rig.verdict('five dispatchers and five reconcilers');
      const unknowns = await withClient(rig.installation.database.databaseUrl, async (client) => {
        const { rows } = await client.query<{ count: number }>(
          `SELECT count(*)::int AS count FROM attempts WHERE outcome = 'unknown'`,
        );
        return rows[0]?.count ?? 0;
      });
      expect(lost).toBe(0);
      expect(unknowns).toBeGreaterThanOrEqual(IN_FLIGHT);
      // What was claimed and had not reached the receiver when the worker died is unknown too, and no duplicate.
      expect(duplicates).toBeGreaterThanOrEqual(IN_FLIGHT);
      expect(duplicates).toBeLessThanOrEqual(unknowns);
    } finally {
      await rig.close();
    }
  });
});
