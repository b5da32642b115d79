// The audit log as its operator sees it: sealed by a real worker, its head in that worker's log, verified by the built
// program. Doubled: nothing.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { eventually } from '#testkit/eventually.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Ended, killAll, runProgram } from './standalone-process.js';

const VERIFY = 'dist/apps/api/src/audit-verify.js';
const KEYS = `test:${randomBytes(32).toString('base64')}`;

let installation: Installation;
let superuser: pg.Client;

beforeAll(async () => {
  installation = await startInstallation({
    queue: 'postgres',
    environment: { POSTHORN_ENCRYPTION_KEYS: KEYS },
  });
  superuser = new pg.Client({ connectionString: installation.database.databaseUrl });
  await superuser.connect();
}, 60_000);

afterAll(async () => {
  await killAll();
  await superuser.end();
  await installation.close();
}, 30_000);

function verify(args: readonly string[] = [], keys = KEYS): Promise<Ended> {
  const environment = {
    DATABASE_URL: installation.database.databaseUrl,
    POSTHORN_ENCRYPTION_KEYS: keys,
  };
  return runProgram(VERIFY, { environment, args }).ended;
}

/** As a worker logs it when it starts, and every hour. */
async function loggedHead(): Promise<string> {
  const worker = await installation.startWorker();
  const head = await eventually(() => {
    const line = worker.lines.find((one) => one.includes('"audit log head"'));
    if (line === undefined) throw new Error('no head was logged');
    return (JSON.parse(line) as { head: string }).head;
  });
  await worker.end();
  return head;
}

async function sealed(count: number): Promise<void> {
  await eventually(async () => {
    const { rows } = await superuser.query('SELECT count(sequence)::int AS sealed FROM audit_log');
    expect(rows).toEqual([{ sealed: count }]);
  });
}

test('calls are sealed within moments, and a whole log verifies against the head that was logged', async () => {
  const merchantId = await installation.client.newMerchant();
  for (let at = 0; at < 5; at++) await installation.client.newWebhook(merchantId, 'http://127.0.0.1:9000/');
  // With them, the key that the first boot installed.
  await sealed(7);
  const head = await loggedHead();
  expect(head).toMatch(/^7:[0-9a-f]{64}$/);
  expect(await verify(['--head', head])).toEqual({
    exitCode: 0,
    stdout: `OK: 7 entries, 0 of them erased; 0 not sealed yet; head ${head}\n`,
    stderr: '',
  });

  await superuser.query('ALTER TABLE audit_log DISABLE TRIGGER ALL');
  await superuser.query(`UPDATE audit_log SET target = 'wh_x' WHERE sequence = 3`);
  await superuser.query('DELETE FROM audit_log WHERE sequence IN (5, 7)');
  const { exitCode, stdout, stderr } = await verify(['--head', head]);
  expect([exitCode, stdout]).toEqual([1, '']);
  expect(stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^entry 3 \(aud_\w{26}\) is not as it was sealed/),
    'entry 5 is missing',
    'the log was cut off: it ends at 6, and the head 7 was logged once',
    expect.stringMatching(/^NOT OK: 3 findings in 5 entries, 0 of them erased; 0 not sealed yet; head 6:/),
  ]);
}, 60_000);

test.each([
  ['a head that is none', ['--head', 'x'], KEYS, /^Usage: npm run audit:verify/],
  ['an unknown option', ['--tail'], KEYS, /^Usage: npm run audit:verify/],
  [
    'a key that does not fit',
    [],
    `other:${randomBytes(32).toString('base64')}`,
    /^The key of the audit log's chain does not open: .*"test"/,
  ],
])('%s is told in one line', async (_, args, keys, line) => {
  const { exitCode, stdout, stderr } = await verify(args, keys);
  expect([exitCode, stdout, stderr.trimEnd().split('\n')]).toEqual([1, '', [expect.stringMatching(line)]]);
});
