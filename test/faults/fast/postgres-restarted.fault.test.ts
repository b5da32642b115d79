// Injected: an immediate stop of PostgreSQL (as a crash: nothing is finished), seconds without it, and its start, under
//   load; with the queue on Redis and on PostgreSQL itself.
// Observed: every answer of the API and how long it took, the receiver's ledger and the database, by the oracle.
// Must hold: while it is away, POST is answered 503 with Retry-After in bounded time, and never 202 for what is not
//   there; API and worker go on by themselves. A request whose result could not be written is sent again, uncharged.
import { expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { startOwnPostgres } from '#testkit/faults/own-postgres.js';
import { describeUnless, redisMissing } from '../describe-unless.js';

/** A wait for a connection ends after 2 s; the rest is a busy machine. */
const ANSWER_MS_MAX = 5_000;
const REFUSALS_MIN = 40;

for (const queue of ['redis', 'postgres'] as const) {
  describeUnless(queue === 'redis' ? redisMissing() : null, `PostgreSQL restarted, queue on ${queue}`, () => {
    test('immediate stop and start', () => restart(queue), 120_000);
  });
}

async function restart(queue: 'redis' | 'postgres'): Promise<void> {
  const postgres = await startOwnPostgres();
  const rig = await startFaultRig({ queue, database: postgres });
  try {
    const load = rig.load(40);
    load.start();
    await load.untilAccepted(40);
    await rig.during(async () => {
      await postgres.stopImmediately();
      await eventually(() => {
        expect(load.answers.filter(({ status }) => status === 503).length).toBeGreaterThan(REFUSALS_MIN);
      }, 30_000);
      await postgres.start();
    });
    await load.untilAccepted(load.tried.size + 40, 60_000);
    await load.stop();
    const refusals = load.answers.filter(({ status }) => status !== 202);
    expect(new Set(refusals.map(({ status }) => status))).toEqual(new Set([503]));
    expect(refusals.map(({ retryAfter }) => retryAfter)).not.toContain(null);
    expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
    await rig.settled(60_000);
    expect(await rig.verdict(`PostgreSQL stopped and started, queue on ${queue}`)).toMatchObject({ lost: 0 });
  } finally {
    await rig.close();
  }
}
