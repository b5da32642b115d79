// Injected: one API whose clock is an hour fast and one worker whose clock is an hour slow (libfaketime), beside an API
//   and a worker with the right time, under load; the receiver fails every first attempt, so that waits are computed too.
// Observed: the receiver's ledger (the times in signatures included) and the database, by the oracle.
// Must hold: everything arrives, soon and once; what is due and what time it is, only PostgreSQL's clock says.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { withClient } from '#testkit/faults/oracle.js';
import type { PosthornProcess } from '#testkit/processes.js';
import { respond } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';
import { describeUnless } from './describe-unless.js';

/** The first wait of the schedule is 1 s. */
const ARRIVAL_MS_MAX = 15_000;
const HOUR_MS = 3_600_000;
const LIBRARY = faketimeLibrary();

describeUnless(LIBRARY === null ? 'no libfaketime' : null, 'clock an hour off', () => {
  test('one process an hour fast, one an hour slow', async () => {
    const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres' });
    try {
      const seen = new Set<string>();
      rig.receiver.on('*', (exchange) => {
        const delivery = String(exchange.request.headers['x-posthorn-delivery-id']);
        respond(seen.has(delivery) ? 200 : 500)(exchange);
        seen.add(delivery);
      });
      const load = rig.load(20);
      await rig.during(async () => {
        const [fast, slow] = await Promise.all([
          rig.installation.startApi(clock('+3600')),
          rig.installation.startWorker(clock('-3600')),
        ]);
        expect(clockErrorMs(fast)).toBeGreaterThan(HOUR_MS / 2);
        expect(clockErrorMs(slow)).toBeLessThan(-HOUR_MS / 2);
        load.start();
        await load.untilAccepted(150);
      });
      await load.stop();
      await rig.settled(60_000);
      expect(await rig.verdict('clocks an hour off')).toMatchObject({ lost: 0, duplicates: 0 });
      const waitsMs = rig.receiver.requests.map(({ headers, arrivedAtUnixMs }) => {
        const event = load.accepted.get(String(headers['x-posthorn-event-id']));
        return arrivedAtUnixMs - (event?.acceptedAtUnixMs ?? 0);
      });
      expect(Math.max(...waitsMs)).toBeLessThan(ARRIVAL_MS_MAX);
      const offMs = await withClient(rig.installation.database.databaseUrl, async (client) => {
        const { rows } = await client.query<{ off: number }>(
          `SELECT max(abs(extract(epoch FROM now() - started_at)))::float8 * 1000 AS off FROM attempts`,
        );
        return rows[0]?.off ?? Infinity;
      });
      expect(offMs).toBeLessThan(10 * 60_000);
    } finally {
      await rig.close();
    }
  });
});

/** What its last log line thinks of the time. */
function clockErrorMs({ lines }: PosthornProcess): number {
  const { time } = JSON.parse(String(lines.at(-1))) as { time: string };
  return Date.parse(time) - Date.now();
}

function clock(offsetSeconds: string): Record<string, string> {
  // Its monotonic clock stays right, as that of a machine whose wall clock is wrong.
  return {
    LD_PRELOAD: String(LIBRARY),
    FAKETIME: `${offsetSeconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

function faketimeLibrary(): string | null {
  const roots = ['/usr/lib', '/usr/local/lib'].filter((root) => existsSync(root));
  const folders = roots.flatMap((root) => [
    join(root, 'faketime'),
    ...readdirSync(root).map((name) => join(root, name, 'faketime')),
  ]);
  return folders.map((folder) => join(folder, 'libfaketimeMT.so.1')).find((path) => existsSync(path)) ?? null;
}
