// Injected: every connection that PostgreSQL allows is taken by somebody else, and those of Posthorn are ended, for some
//   seconds, under load.
// Observed: every answer of the API and how long it took, the receiver's ledger and the database, by the oracle.
// Must hold: 503 with Retry-After in bounded time, and never 202 for what is not there; API and worker go on by
//   themselves when there are connections again.
import { expect, test } from '@jest/globals';
import pg from 'pg';
import { eventually } from '#testkit/eventually.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { startOwnPostgres } from '#testkit/faults/own-postgres.js';
import { hasRedis } from '#testkit/redis.js';

const CONNECTIONS = '40';
const REFUSALS_MIN = 20;
const ANSWER_MS_MAX = 5_000;

test('connections exhausted', async () => {
  const postgres = await startOwnPostgres({
    settings: { max_connections: CONNECTIONS, superuser_reserved_connections: '0' },
  });
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', database: postgres });
  const hogs: pg.Client[] = [];
  try {
    const load = rig.load(20);
    load.start();
    await load.untilAccepted(20);
    await rig.during(async () => {
      await eventually(async () => {
        // Posthorn takes back what it can, so this goes on until it has none left.
        await takeAll(postgres.databaseUrl, hogs);
        await hogs[0]?.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'posthorn%'`,
        );
        await takeAll(postgres.databaseUrl, hogs);
        const refusals = load.answers.filter(({ status }) => status === 503).length;
        expect(refusals).toBeGreaterThan(REFUSALS_MIN);
      }, 30_000);
      await Promise.all(hogs.splice(0).map((hog) => hog.end()));
    });
    await load.untilAccepted(load.tried.size + 20, 60_000);
    await load.stop();
    const refusals = load.answers.filter(({ status }) => status !== 202);
    expect(new Set(refusals.map(({ status }) => status))).toEqual(new Set([503]));
    expect(refusals.map(({ retryAfter }) => retryAfter)).not.toContain(null);
    expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
    await rig.settled(60_000);
    expect(await rig.verdict('PostgreSQL connections exhausted')).toMatchObject({ lost: 0 });
  } finally {
    await Promise.all(hogs.map((hog) => hog.end()));
    await rig.close();
  }
});

async function takeAll(databaseUrl: string, hogs: pg.Client[]): Promise<void> {
  for (;;) {
    const hog = new pg.Client({ connectionString: databaseUrl, application_name: 'hog' });
    hog.on('error', () => undefined);
    try {
      await hog.connect();
    } catch {
      return;
    }
    hogs.push(hog);
  }
}
