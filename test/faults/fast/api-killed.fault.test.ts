// Injected: SIGKILL to one of two APIs by failpoints, right after a commit and before its dispatch, and after the dispatch
//   and before the 202 leaves. Clients repeat the same id against whichever API is there.
// Observed: every answer, the receiver's ledger and the database, by the oracle.
// Must hold: each event exists once and reaches each endpoint once, whether its 202 was ever seen or not; what was
//   committed and never hinted is found by the sweep when its mark has run out.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { type FaultRig, startFaultRig } from '#testkit/faults/fault-rig.js';
import { hasRedis } from '#testkit/redis.js';

/** For so long the sweep takes a delivery for hinted. */
const MARK_MS = 15_000;
/** A mark of 15 s, a sweep each second, and a busy machine. */
const FOUND_MS_MAX = 22_000;

let rig: FaultRig;

beforeEach(async () => {
  rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres' });
}, 60_000);

afterEach(async () => {
  await rig.close();
}, 30_000);

test.each([
  ['after-commit', 'API killed between commit and dispatch'],
  ['before-answer', 'API killed before its 202 leaves'],
])(
  '%s',
  async (failpoint, fault) => {
    const victim = await rig.installation.startApi({ POSTHORN_DANGEROUS_FAILPOINTS: `${failpoint}:kill@5` });
    const load = rig.load(40);
    await rig.during(async () => {
      load.start();
      await eventually(() => expect(victim.child.signalCode).toBe('SIGKILL'), 20_000);
    });
    // At least the one in whose commit it died, and that it never answered.
    await eventually(() => expect(load.answers.some(({ status }) => status === 0)).toBe(true));
    await load.untilAccepted(load.tried.size + 20);
    await load.stop();
    expect(load.accepted.size).toBe(load.tried.size);
    await rig.settled(30_000);
    const { lost, duplicates, recoveryMs } = await rig.verdict(fault);
    expect({ lost, duplicates }).toEqual({ lost: 0, duplicates: 0 });
    expect(Math.max(...recoveryMs)).toBeLessThan(FOUND_MS_MAX);
    // It was not hinted by its own process, or the fault was not where it should be.
    if (failpoint === 'after-commit') expect(Math.max(...recoveryMs)).toBeGreaterThan(MARK_MS / 2);
  },
  90_000,
);
