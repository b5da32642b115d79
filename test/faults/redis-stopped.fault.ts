// Injected: SIGSTOP to Redis for 20 s under load: connections stay open, and no command is answered.
// Observed: every answer of the API and how long it took, log lines, the receiver's ledger and the database.
// Must hold: every answer is a 202 in time; one complaint a minute and not one a request; everything arrives soon after
//   Redis goes on, and nothing twice.
import { expect, test } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { complaintsOf } from '#testkit/faults/log-lines.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { describeUnless, redisMissing } from './describe-unless.js';

const STOPPED_MS = 20_000;
const ANSWER_MS_MAX = 1_500;
/** One for each of its three queues' workers, one for hints that failed, and one for each kind of sweep. */
const WORKER_COMPLAINTS_MAX = 12;

describeUnless(redisMissing(), 'Redis stopped', () => {
  test('SIGSTOP for 20 s', async () => {
    const rig = await startFaultRig({ queue: 'redis', workers: 2 });
    try {
      const pid = rig.installation.redis?.pid ?? 0;
      const load = rig.load(40);
      load.start();
      await load.untilAccepted(40);
      await rig.during(async () => {
        process.kill(pid, 'SIGSTOP');
        // The length of the fault is what is tested.
        await delay(STOPPED_MS);
        process.kill(pid, 'SIGCONT');
      });
      await load.untilAccepted(load.accepted.size + 40);
      await load.stop();
      expect(new Set(load.answers.map(({ status }) => status))).toEqual(new Set([202]));
      expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
      await rig.settled(60_000);
      expect(await rig.verdict('Redis stopped for 20 s')).toMatchObject({ lost: 0, duplicates: 0 });
      const [api] = rig.installation.apis as [PosthornProcess];
      expect(complaintCount(api)).toBeGreaterThan(0);
      expect(complaintCount(api)).toBeLessThanOrEqual(2);
      for (const worker of rig.installation.workers)
        expect(complaintCount(worker)).toBeLessThanOrEqual(WORKER_COMPLAINTS_MAX);
    } finally {
      await rig.close();
    }
  });
});

function complaintCount(process: PosthornProcess): number {
  return [...complaintsOf(process).values()].reduce((sum, count) => sum + count, 0);
}
