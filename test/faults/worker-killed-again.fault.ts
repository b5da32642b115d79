// Injected: the same delivery takes its worker with it (SIGKILL by the receiver, before it answers) five times over; each
//   time a new worker is started. Innocent deliveries of other merchants are under way beside it.
// Observed: the receiver's ledger and the database, by the oracle.
// Must hold: innocents arrive all the time, and none of them is put off for long; the culprit has five attempts, all
//   unknown, is charged no step of its schedule, and from the fifth on it waits for minutes, and is not final. When its
//   time comes and the receiver is healthy, it succeeds.
import { expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { withClient } from '#testkit/faults/oracle.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';

const KILLS = 5;
/** The lease of an innocent in a worker that dies ends after 7 s, and at worst that happens to it twice before it is put apart. */
const INNOCENT_MS_MAX = 60_000;
/** What is put off after five workers: the first wait is 5 minutes. */
const PUT_OFF_MS_MIN = 4 * 60_000;

test('the same delivery kills its worker five times', async () => {
  const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres' });
  const { databaseUrl } = rig.installation.database;
  try {
    const innocents = [...rig.merchantIds];
    const [poisoned] = await rig.addMerchant(1);
    const path = String(poisoned?.path);
    let kills = 0;
    rig.receiver.on(path, () => {
      kills += 1;
      for (const worker of rig.liveWorkers()) worker.child.kill('SIGKILL');
    });
    const load = rig.load(10, innocents);
    load.start();
    await load.untilAccepted(20);
    const poison = rig.load(1, [String(poisoned?.merchantId)]);
    await rig.during(async () => {
      poison.burst(1);
      await poison.stop();
      for (let kill = 1; kill <= KILLS; kill++) {
        await eventually(() => expect(kills).toBe(kill), 60_000);
        await rig.installation.startWorker();
      }
    });
    await load.untilAccepted(load.accepted.size + 20);
    await load.stop();
    const culprit = await eventually(() => stateOf(databaseUrl, String(poisoned?.path)), 30_000);
    expect(culprit).toMatchObject({
      status: 'retrying',
      failures: 0,
      outcomes: Array(KILLS).fill('unknown'),
    });
    expect(culprit.waitMs).toBeGreaterThan(PUT_OFF_MS_MIN);

    await eventually(() => expectAllElse(databaseUrl, String(poisoned?.path)), 60_000);
    expect(rig.receiver.requests.filter(({ path: to }) => to === path)).toHaveLength(KILLS);
    rig.receiver.on(path, respond());
    // As if the minutes were over.
    await withClient(databaseUrl, (client) =>
      client.query('UPDATE open_deliveries SET due_at = now(), hinted_until = now()'),
    );
    await rig.settled(30_000);
    const { lost, recoveryMs } = await rig.verdict('one delivery kills five workers');
    expect(lost).toBe(0);
    expect(Math.max(...recoveryMs)).toBeLessThan(INNOCENT_MS_MAX);
  } finally {
    await rig.close();
  }
});

async function stateOf(databaseUrl: string, path: string) {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{
      status: string;
      failures: number;
      waitMs: number;
      outcomes: string[];
    }>(
      `SELECT d.status, o.failures, (extract(epoch FROM o.due_at - now()) * 1000)::float8 AS "waitMs",
              (SELECT array_agg(a.outcome ORDER BY a.number) FROM attempts a WHERE a.delivery_id = d.id) AS outcomes
       FROM deliveries d JOIN open_deliveries o ON o.delivery_id = d.id JOIN endpoints e ON e.id = d.endpoint_id
       WHERE e.url LIKE '%' || $1 AND o.lease_until IS NULL`,
      [path],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('its lease has not ended yet');
    return row;
  });
}

async function expectAllElse(databaseUrl: string, path: string): Promise<void> {
  const open = await withClient(databaseUrl, async (client) => {
    const { rows } = await client.query(
      `SELECT 1 FROM open_deliveries o JOIN endpoints e ON e.id = o.endpoint_id WHERE e.url NOT LIKE '%' || $1`,
      [path],
    );
    return rows.length;
  });
  expect(open).toBe(0);
}
