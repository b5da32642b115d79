// Injected: SIGSTOP to every process of PostgreSQL for 30 s under load: connections stay open and nothing is answered, and
//   new ones hang.
// Observed: every answer of the API and how long it took, the receiver's ledger and the database, by the oracle.
// Must hold: every POST is answered in bounded time, with 503 and Retry-After if not with 202; whatever got a 202 is
//   there; all goes on by itself when PostgreSQL does.
import { expect, test } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { startOwnPostgres } from '#testkit/faults/own-postgres.js';
import { hasRedis } from '#testkit/redis.js';

const FROZEN_MS = 30_000;
/** Less than the freeze, so that whoever asks is told: 16 s for the statement, and 2 s for each wait for a connection before it. */
const ANSWER_MS_MAX = 25_000;

test('backends stopped for 30 s', async () => {
  const postgres = await startOwnPostgres();
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', database: postgres });
  try {
    const load = rig.load(20);
    load.start();
    await load.untilAccepted(20);
    await rig.during(async () => {
      postgres.freeze();
      // The length of the fault is what is tested.
      await delay(FROZEN_MS);
      postgres.thaw();
    });
    await load.untilAccepted(load.tried.size + 20, 60_000);
    await load.stop();
    const refusals = load.answers.filter(({ status }) => status !== 202);
    expect(new Set(refusals.map(({ status }) => status))).toEqual(new Set([503]));
    expect(refusals.map(({ retryAfter }) => retryAfter)).not.toContain(null);
    expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
    await rig.settled(60_000);
    expect(await rig.verdict('PostgreSQL backends stopped for 30 s')).toMatchObject({ lost: 0 });
  } finally {
    await rig.close();
  }
});
