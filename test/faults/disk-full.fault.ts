// Injected: PostgreSQL's data directory is on a small tmpfs that is filled to the last byte, under load, and is given room
//   again after some seconds. PostgreSQL may refuse statements or go down; if it does, it is started again, as its
//   operator would.
// Observed: every answer of the API and how long it took, the receiver's ledger and the database, by the oracle.
// Must hold: 503 with Retry-After in bounded time, and never 202 for what is not there; API and worker go on by themselves,
//   also with what was in flight when there was no room to log it.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { startFaultRig } from '#testkit/faults/fault-rig.js';
import { withClient } from '#testkit/faults/oracle.js';
import { startOwnPostgres } from '#testkit/faults/own-postgres.js';
import { after } from '#testkit/receiver/behaviour.js';
import { hasRedis } from '#testkit/redis.js';
import { describeUnless } from './describe-unless.js';

const SIZE = '160m';
const REFUSALS_MIN = 20;
const ANSWER_MS_MAX = 5_000;
/** Less than the timeout, and long enough that there are always deliveries in flight. */
const RECEIVER_MS = 1_500;

describeUnless(mountProblem(), 'disk full', () => {
  test('the data directory is full', async () => {
    const directory = mount();
    try {
      const postgres = await startOwnPostgres({
        directory,
        settings: { max_wal_size: '32MB', min_wal_size: '32MB', shared_buffers: '16MB', wal_recycle: 'off' },
      });
      const rig = await startFaultRig({ queue: hasRedis() ? 'redis' : 'postgres', database: postgres });
      try {
        rig.receiver.on('*', after(RECEIVER_MS));
        const load = rig.load(30);
        load.start();
        await load.untilAccepted(30);
        await rig.during(async () => {
          const ballast = join(directory, 'ballast');
          await eventually(() => {
            fill(ballast);
            const refusals = load.answers.filter(({ status }) => status === 503).length;
            expect(refusals).toBeGreaterThan(REFUSALS_MIN);
          }, 90_000);
          rmSync(ballast);
          await postgres.ensureRunning();
          expect(await openCount(postgres.databaseUrl)).toBeGreaterThan(0);
        });
        await load.untilAccepted(load.tried.size + 20, 60_000);
        await load.stop();
        const refusals = load.answers.filter(({ status }) => status !== 202);
        expect(new Set(refusals.map(({ status }) => status))).toEqual(new Set([503]));
        expect(refusals.map(({ retryAfter }) => retryAfter)).not.toContain(null);
        expect(Math.max(...load.answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWER_MS_MAX);
        await rig.settled(60_000);
        expect(await rig.verdict('PostgreSQL data directory full')).toMatchObject({ lost: 0 });
      } finally {
        await rig.close();
      }
    } finally {
      execFileSync('umount', ['-l', directory]);
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

async function openCount(databaseUrl: string): Promise<number> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM open_deliveries',
    );
    return rows[0]?.count ?? 0;
  });
}

function mount(): string {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-fault-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', directory], { stdio: 'pipe' });
  return directory;
}

function mountProblem(): string | null {
  let directory: string;
  try {
    directory = mount();
  } catch {
    return 'no right to mount a tmpfs';
  }
  execFileSync('umount', [directory]);
  rmSync(directory, { recursive: true });
  return null;
}

/** Adds to the ballast until there is no room, also for what was freed since. */
function fill(ballast: string): void {
  const file = openSync(ballast, 'a');
  const chunk = Buffer.alloc(1024 * 1024);
  try {
    for (let bytes = chunk.length; bytes >= 512;) {
      try {
        if (writeSync(file, chunk, 0, bytes) < bytes) bytes = Math.floor(bytes / 2);
      } catch {
        bytes = Math.floor(bytes / 2);
      }
    }
  } finally {
    closeSync(file);
  }
}
