// A rotation of the encryption keys from beginning to end, as docs/runbooks/rotate-encryption-keys.md has it, on the built
// programs: beside an API and a worker that go on writing, killed in the middle, run again. Doubled: nothing.
// Must hold: no request fails, every delivery carries what was last set, and afterwards the old key is worth nothing.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { AesGcmSecretBox, sealedPrefix } from '#adapters/secrets/aes-gcm-secret-box.js';
import { SEALED_COLUMNS } from '#adapters/postgres/sealed-columns.js';
import { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { Installation, type PosthornProcess } from '#testkit/processes.js';
import { createTestDatabase } from '#testkit/postgres.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { killAll, runProgram } from './standalone-process.js';

const REWRAP = 'dist/apps/api/src/keys-rewrap.js';
const VERIFY = 'dist/apps/api/src/audit-verify.js';
const PROGRAMS = ['api', 'worker', 'standalone'].map((name) => `dist/apps/${name}/src/main.js`);
/** Enough windows of the command to be killed between two of them. */
const ANSWERS = 12_000;
const PLATFORM = '00000000-0000-0000-0000-000000000000';

const old = { id: 'old', key: randomBytes(32) };
const fresh = { id: 'fresh', key: randomBytes(32) };
const variableOf = (...keys: (typeof old)[]): string =>
  keys.map(({ id, key }) => `${id}:${key.toString('base64')}`).join(',');
const OLD = { POSTHORN_ENCRYPTION_KEYS: variableOf(old) };
const BOTH = { POSTHORN_ENCRYPTION_KEYS: variableOf(fresh, old) };
const FRESH = { POSTHORN_ENCRYPTION_KEYS: variableOf(fresh) };

let installation: Installation;
let receiver: Receiver;
let pool: pg.Pool;

beforeAll(async () => {
  installation = new Installation(await createTestDatabase(), null, {});
  receiver = await startReceiver();
  pool = new pg.Pool({ connectionString: installation.database.databaseUrl, max: 2 });
}, 60_000);

afterAll(async () => {
  await killAll();
  await pool.end();
  await installation.close();
  await receiver.close();
}, 30_000);

interface Running {
  readonly client: ApiClient;
  readonly processes: readonly PosthornProcess[];
}

async function run(environment: Readonly<Record<string, string>>): Promise<Running> {
  const [api, worker] = await Promise.all([
    installation.startApi(environment),
    installation.startWorker(environment),
  ]);
  return { client: new ApiClient(api.url, installation.platformKey), processes: [api, worker] };
}

const stop = ({ processes }: Running) => Promise.all(processes.map((one) => one.end()));

const environmentOf = (keys: Readonly<Record<string, string>>) => ({
  DATABASE_URL: installation.database.databaseUrl,
  PORT: '0',
  ...keys,
});

/** How many sealed values there are, by whether they begin as those of a key do. */
async function sealedUnder({ id }: { readonly id: string }): Promise<number> {
  let count = 0;
  for (const { table, column } of SEALED_COLUMNS) {
    const { rows } = await pool.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${table} WHERE starts_with(encode(${column}, 'hex'), $1)`,
      [Buffer.from(sealedPrefix(id)).toString('hex')],
    );
    count += rows[0]?.count ?? 0;
  }
  return count;
}

/** Answers as the API stored them under the old key. */
async function storeAnswers(): Promise<void> {
  const box = new AesGcmSecretBox([old]);
  const keys = Array.from({ length: ANSWERS }, (_, at) => `stored-${at}`);
  await pool.query(
    `INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, response_status, response_sealed, expires_at)
     SELECT 'header', a.key, $1, '\\x00', 201, decode(a.sealed, 'hex'), now() + interval '1 day'
     FROM unnest($2::text[], $3::text[]) AS a (key, sealed)`,
    [
      PLATFORM,
      keys,
      keys.map((key) =>
        Buffer.from(box.seal(Buffer.from('{}'), `idempotency_keys/${PLATFORM}/${key}`)).toString('hex'),
      ),
    ],
  );
}

/** Goes on changing and sending until it is told to stop. Gives what was set last. */
function keepWriting(client: ApiClient, merchantId: string, webhookId: string) {
  const stopping = new AbortController();
  const done = (async () => {
    for (let count = 1; ; count++) {
      const value = `value-${count}`;
      const patched = await client.patch(`/v1/webhooks/${webhookId}`, { headers: { 'X-Shop': value } });
      expect(patched.status).toBe(200);
      const created = await client.post(
        '/v1/webhooks',
        {
          merchant_id: merchantId,
          url: receiver.url('/other'),
          events: ['never.sent'],
          headers: { 'X-Shop': 'x' },
        },
        { 'Idempotency-Key': `written-${count}` },
      );
      expect(created.status).toBe(201);
      expect((await client.delete(`/v1/webhooks/${String(created.body['id'])}`)).status).toBe(204);
      await client.sendEvent(merchantId, { id: `event-${count}` });
      if (stopping.signal.aborted) return { value, count };
    }
  })();
  return {
    stop: () => {
      stopping.abort();
      return done;
    },
  };
}

test('keys are rotated under traffic, with the command killed in the middle', async () => {
  const before = await run(OLD);
  const merchantId = await before.client.newMerchant();
  const webhook = await before.client.newWebhook(merchantId, receiver.url('/hook'), {
    headers: { 'X-Shop': 'first' },
  });
  const repeated = { merchant_id: merchantId, url: receiver.url('/kept'), events: ['never.sent'] };
  const idempotent = { 'Idempotency-Key': 'made-under-the-old-key' };
  const kept = await before.client.post('/v1/webhooks', repeated, idempotent);
  expect(kept.status).toBe(201);
  // Until the sealer has made the key of its chain, which is sealed as well.
  await eventually(async () =>
    expect((await pool.query('SELECT FROM audit_log WHERE sequence IS NOT NULL')).rowCount).toBeGreaterThan(
      0,
    ),
  );
  await stop(before);
  await storeAnswers();

  const during = await run(BOTH);
  const writing = keepWriting(during.client, merchantId, webhook.id);
  const killed = runProgram(REWRAP, { environment: environmentOf(BOTH) });
  await eventually(() => expect(killed.stdout).toMatch(/^idempotency_keys.response_sealed: 1000 /m), 20_000);
  killed.signal('SIGKILL');
  expect((await killed.ended).exitCode).toBeNull();
  expect(await sealedUnder(fresh)).toBeGreaterThanOrEqual(1_000);
  expect(await sealedUnder(old)).toBeGreaterThan(1_000);

  const again = await runProgram(REWRAP, { environment: environmentOf(BOTH) }).ended;
  expect(again).toMatchObject({ exitCode: 0, stderr: '' });
  expect(again.stdout).toMatch(/^No longer in use, and to be removed from POSTHORN_ENCRYPTION_KEYS: old$/m);
  const { value, count } = await writing.stop();
  expect(await sealedUnder(old)).toBe(0);
  await receiver.waitFor(
    (requests) => requests.some(({ headers }) => headers['x-posthorn-event-id'] === `event-${count}`),
    20_000,
  );
  await stop(during);

  const once = await runProgram(REWRAP, { environment: environmentOf(BOTH) }).ended;
  expect(once).toMatchObject({
    exitCode: 0,
    stderr: '',
    stdout: expect.stringMatching(/^0 values were sealed anew/m),
  });

  const after = await run(FRESH);
  expect(await after.client.post('/v1/webhooks', repeated, idempotent)).toMatchObject({
    status: 201,
    body: kept.body,
  });
  await after.client.sendEvent(merchantId, { id: 'after' });
  await receiver.waitFor(
    (requests) => requests.some(({ headers }) => headers['x-posthorn-event-id'] === 'after'),
    20_000,
  );
  const arrived = receiver.requests.filter(({ path }) => path === '/hook');
  expect(arrived.at(-1)?.headers['x-shop']).toBe(value);
  for (const { body, headers } of arrived)
    new Webhook(webhook.secret).verify(body, headers as Record<string, string>);
  const entries = await after.client.get<{ data: unknown[] }>(
    '/v1/audit-log?action=encryption_keys.rewrapped',
  );
  expect(entries.body.data).toMatchObject([
    { actor: 'system', target: 'fresh', after: { retired: ['old'] } },
  ]);
  // What was chained before the rotation verifies with the new key alone.
  const verified = await runProgram(VERIFY, { environment: environmentOf(FRESH) }).ended;
  expect(verified).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^OK: \d\d+ entries, /) });
  const complaints = installation.workers.flatMap(({ lines }) =>
    lines.filter((line) => line.includes('"level":50')),
  );
  expect(complaints).toEqual([]);
  await stop(after);
}, 120_000);

test.each([
  [
    'the old key alone',
    variableOf(old),
    /^POSTHORN_ENCRYPTION_KEYS has none of the keys .* sealed under: fresh$/,
  ],
  [
    'another key under the same id',
    variableOf({ id: 'fresh', key: randomBytes(32) }),
    /^POSTHORN_ENCRYPTION_KEYS: the key fresh is not the key fresh that this database was sealed under$/,
  ],
])(
  'no program boots with %s',
  async (_, keys, line) => {
    const dataDir = `${process.env['TMPDIR'] ?? '/tmp'}/posthorn-rewrap-${randomBytes(6).toString('hex')}`;
    for (const program of PROGRAMS) {
      const environment = {
        ...environmentOf({ POSTHORN_ENCRYPTION_KEYS: keys }),
        POSTHORN_DATA_DIR: dataDir,
      };
      const { exitCode, stderr } = await runProgram(program, { environment }).ended;
      const last = stderr.trimEnd().split('\n').at(-1);
      expect([program, exitCode, last]).toEqual([program, 1, expect.stringMatching(line)]);
    }
  },
  60_000,
);

test('a key is not given up while something needs it', async () => {
  const answer = new AesGcmSecretBox([old]).seal(Buffer.from('{}'), 'a row that it is not in');
  const back = await runProgram(REWRAP, {
    environment: environmentOf({ POSTHORN_ENCRYPTION_KEYS: variableOf(old, fresh) }),
  }).ended;
  expect(back).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/: fresh$/m) });
  await pool.query(`UPDATE idempotency_keys SET response_sealed = decode($1, 'hex') WHERE key = 'stored-7'`, [
    Buffer.from(answer).toString('hex'),
  ]);
  const refused = await runProgram(REWRAP, { environment: environmentOf(BOTH) }).ended;
  expect(refused).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(
      /^No key opens idempotency_keys\.response_sealed of .*stored-7\.\nStill in use: old\./,
    ),
  });
  const withoutIt = await runProgram(PROGRAMS[0] ?? '', { environment: environmentOf(FRESH) }).ended;
  expect(withoutIt).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/still needs: old /) });
}, 60_000);
