// Injected: SIGKILL to Redis under load, a few seconds without it, and its return with an empty memory or with what its
//   append-only file kept.
// Observed: every answer of the API and how long it took, log lines, the receiver's ledger and the database.
// Must hold: every answer is a 202 in time, also while Redis is dead; the API complains once and not once a request;
//   everything arrives soon after Redis is back, without a restart.
import { expect, test } from '@jest/globals';
import { type FaultRig, startFaultRig } from '#testkit/faults/fault-rig.js';
import { complaintsOf } from '#testkit/faults/log-lines.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { type OwnRedis, spawnRedis } from '#testkit/redis.js';
import { describeUnless, redisMissing } from '../describe-unless.js';

/** An accept needs PostgreSQL alone; this is far above what it takes on a machine that is busy with other tests. */
const ANSWER_MS_MAX = 1_500;
const EVENTS_MEANWHILE = 100;

describeUnless(redisMissing(), 'Redis killed', () => {
  test.each([
    [false, 'Redis killed and restarted without AOF'],
    [true, 'Redis killed and restarted with AOF'],
  ])(
    'with an append-only file: %p',
    async (appendOnly, fault) => {
      const redis: OwnRedis = await spawnRedis({ appendOnly });
      const rig: FaultRig = await startFaultRig({ queue: 'redis', redis });
      try {
        const load = rig.load(40);
        load.start();
        await load.untilAccepted(40);
        await rig.during(async () => {
          await redis.kill();
          await load.untilAccepted(load.accepted.size + EVENTS_MEANWHILE);
          await redis.start();
        });
        await load.untilAccepted(load.accepted.size + 40);
        await load.stop();
        expect(new Set(load.answers.map(({ status }) => status))).toEqual(new Set([202]));
        expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
        await rig.settled(40_000);
        expect(await rig.verdict(fault)).toMatchObject({ lost: 0, duplicates: 0 });
        const [api] = rig.installation.apis as [PosthornProcess];
        const complaints = [...complaintsOf(api).values()].reduce((sum, count) => sum + count, 0);
        expect(complaints).toBeGreaterThan(0);
        expect(complaints).toBeLessThanOrEqual(2);
      } finally {
        await rig.close();
      }
    },
    120_000,
  );
});
