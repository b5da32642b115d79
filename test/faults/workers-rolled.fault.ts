// Injected: a rolling restart of two workers, twice over, under load: a new one is started, then an old one gets SIGTERM.
// Observed: exit codes, the receiver's ledger and the database, by the oracle.
// Must hold: nothing is lost, nothing is sent twice, no attempt is unknown, and no delivery waits longer than for a
//   hint that was lost.
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { after } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';

/** A hint that a worker drops because it is stopping is found by the sweep when its mark of 15 s has run out. */
const WAIT_MS_MAX = 6_000;

test('rolling restart of two workers under load', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', workers: 2 });
  try {
    rig.receiver.on('*', after(100));
    const load = rig.load(40);
    load.start();
    await load.untilAccepted(40);
    await rig.during(async () => {
      for (let restart = 0; restart < 4; restart++) {
        const oldest = rig.liveWorkers()[0] as PosthornProcess;
        await rig.installation.startWorker();
        expect(await oldest.end('SIGTERM')).toMatchObject({ exitCode: 0 });
      }
    });
    await load.untilAccepted(load.accepted.size + 40);
    await load.stop();
    await rig.settled(30_000);
    expect(await rig.verdict('rolling restart of two workers')).toMatchObject({ lost: 0, duplicates: 0 });
    const waitsMs = rig.receiver.requests.map(({ headers, arrivedAtUnixMs }) => {
      const event = load.accepted.get(String(headers['x-posthorn-event-id']));
      return arrivedAtUnixMs - (event?.acceptedAtUnixMs ?? 0);
    });
    expect(Math.max(...waitsMs)).toBeLessThan(WAIT_MS_MAX);
  } finally {
    await rig.close();
  }
});
