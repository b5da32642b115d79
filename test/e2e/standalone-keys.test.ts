// Operators' commands on the database that standalone keeps for itself, as the runbooks say. Doubled: nothing. Observed: what
// the commands print, their exit codes, and whether standalone starts with the keys that are left and reads what it sealed.
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  clientOf,
  type Ended,
  killAll,
  printedKey,
  runProgram,
  startStandalone,
} from './standalone-process.js';

const TEST_TIMEOUT_MS = 90_000;
const WITH_DATABASE = 'dist/apps/standalone/src/with-database.js';

let temporary: string;
let dataDir: string;

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'posthorn-test-keys-'));
  dataDir = join(temporary, 'data');
});

afterAll(async () => {
  await killAll();
  await rm(temporary, { recursive: true, force: true });
}, 30_000);

function run(...args: readonly string[]): Promise<Ended> {
  return runProgram(WITH_DATABASE, { args, environment: { POSTHORN_DATA_DIR: dataDir } }).ended;
}

test(
  'the key of an embedded database is rotated while standalone is stopped, and its audit log verified',
  async () => {
    const first = startStandalone(dataDir);
    const client = await clientOf(first);
    const platformKey = printedKey(first) ?? '';
    const merchantId = await client.newMerchant();
    const { id, secret } = await client.newWebhook(merchantId, 'http://127.0.0.1:9999/');

    const whileRunning = await run('keys-rewrap');
    expect(whileRunning).toMatchObject({ exitCode: 1, stdout: '' });
    expect(whileRunning.stderr).toContain('Another Posthorn is running');
    expect((await client.get('/readyz')).status).toBe(200);
    first.signal('SIGTERM');
    await first.ended;

    const file = join(dataDir, 'encryption-keys');
    const old = (await readFile(file, 'utf8')).trim();
    const next = `k2:${randomBytes(32).toString('base64')}`;
    await writeFile(file, `${next},${old}\n`, { mode: 0o600 });
    const rewrapped = await run('keys-rewrap');
    expect(rewrapped).toMatchObject({ exitCode: 0, stderr: '' });
    expect(rewrapped.stdout).toContain(`to be removed from POSTHORN_ENCRYPTION_KEYS: ${old.split(':')[0]}`);

    await writeFile(file, `${next}\n`, { mode: 0o600 });
    const verified = await run('audit-verify');
    expect(verified).toMatchObject({ exitCode: 0, stderr: '' });
    expect(verified.stdout).toMatch(/^OK: \d+ entries/);
    const second = startStandalone(dataDir);
    const again = await clientOf(second, platformKey);
    expect((await again.get(`/v1/webhooks/${id}/secret`)).body).toMatchObject({ secret });
    second.signal('SIGTERM');
    await second.ended;
  },
  TEST_TIMEOUT_MS,
);

test('what is no command is refused, and starts nothing', async () => {
  expect(await run('drop-everything')).toMatchObject({ exitCode: 1, stdout: '' });
});
