// Injected: a Redis that has reached maxmemory under noeviction, so that every command that writes is refused (OOM).
// Observed: every answer of the API and how long it took, log lines, the receiver's ledger and the database.
// Must hold: every answer is a 202 in time; one complaint and not one a request; when there is room again, everything
//   arrives without a restart.
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { complaintsOf } from '#testkit/faults/log-lines.js';
import { redisCommand } from '#testkit/faults/redis-command.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { describeUnless, redisMissing } from '../describe-unless.js';

const ANSWER_MS_MAX = 1_500;
const EVENTS_MEANWHILE = 100;

describeUnless(redisMissing(), 'Redis full', () => {
  test('maxmemory with noeviction', async () => {
    const rig = await startFaultRig({ queue: 'redis' });
    try {
      const url = String(rig.installation.redis?.url);
      const load = rig.load(40);
      load.start();
      await load.untilAccepted(40);
      await rig.during(async () => {
        await redisCommand(url, 'CONFIG', 'SET', 'maxmemory', '1');
        await load.untilAccepted(load.accepted.size + EVENTS_MEANWHILE);
        await redisCommand(url, 'CONFIG', 'SET', 'maxmemory', '0');
      });
      await load.untilAccepted(load.accepted.size + 40);
      await load.stop();
      expect(new Set(load.answers.map(({ status }) => status))).toEqual(new Set([202]));
      expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
      await rig.settled(60_000);
      expect(await rig.verdict('Redis at maxmemory, noeviction')).toMatchObject({ lost: 0, duplicates: 0 });
      const [api] = rig.installation.apis as [PosthornProcess];
      const complaints = [...complaintsOf(api).values()].reduce((sum, count) => sum + count, 0);
      expect(complaints).toBeGreaterThan(0);
      expect(complaints).toBeLessThanOrEqual(2);
    } finally {
      await rig.close();
    }
  }, 120_000);
});
