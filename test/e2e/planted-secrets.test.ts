// Secrets are planted in every place that takes one, in a life of API and worker with failures of all kinds, everything logged.
// Afterwards none of them may stand in the database, nor in anything that a process has printed.
// Doubled: nothing. Observed: every column of every table as text, and all output. Not asserted: what a receiver does with what
// it gets, and event data in the database, where it is kept as it came.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { redisCommand } from '#testkit/faults/redis-command.js';
import { createTestDatabase } from '#testkit/postgres.js';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { failFirst, resetConnection, respond } from '#testkit/receiver/behaviour.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis, type OwnRedis, spawnRedis } from '#testkit/redis.js';
import { foundIn, marker, type Planted } from './planted-secrets.js';
import { killAll, runProgram } from './standalone-process.js';

const ROLE = `planted_${randomBytes(6).toString('hex')}`;
const DATABASE_PASSWORD = marker('databasepassword');
const REDIS_PASSWORD = marker('redispassword');
const PLATFORM_KEY = marker('platformkey');
const ENCRYPTION_KEY = randomBytes(32);
const WHSEC_KEY = randomBytes(32);
const WHSEC = `whsec_${WHSEC_KEY.toString('base64')}`;
const OWN_SECRET = marker('ownsecret');
const HEADER_VALUE = marker('headervalue');
const CHANGED_HEADER_VALUE = marker('changedheadervalue');
const DATA_VALUE = marker('datavalue');
const REFUSED_KEY = marker('refusedkey');
const REFUSED_VALUE = marker('refusedvalue');
/** Not secret: what shows that the search finds things. */
const NAME = marker('name');

const PROGRAMS = ['apps/api/src/main', 'apps/worker/src/main', 'apps/api/src/keys-rewrap'].map(
  (name) => `dist/${name}.js`,
);

/** With those that the API makes, added as they are made. */
const secrets: Planted[] = [
  { what: 'the password of DATABASE_URL', value: DATABASE_PASSWORD },
  { what: 'the password of REDIS_URL', value: REDIS_PASSWORD },
  { what: 'the platform key', value: PLATFORM_KEY },
  { what: 'the encryption key', value: ENCRYPTION_KEY },
  { what: 'the encryption key as it is written', value: ENCRYPTION_KEY.toString('base64') },
  { what: 'a whsec_ secret', value: WHSEC },
  { what: 'the key in a whsec_ secret', value: WHSEC_KEY },
  { what: 'a secret of the merchant’s own', value: OWN_SECRET },
  { what: 'a custom header', value: HEADER_VALUE },
  { what: 'a changed custom header', value: CHANGED_HEADER_VALUE },
];
const loggedNever: Planted[] = [
  { what: 'event data', value: DATA_VALUE },
  { what: 'a refused key', value: REFUSED_KEY },
  { what: 'a refused value', value: REFUSED_VALUE },
];

let installation: Installation;
let redis: OwnRedis | null;
let receiver: Receiver;
let admin: pg.Client;
/** Of programs that did not boot. */
const bootOutput: string[] = [];

beforeAll(async () => {
  receiver = await startReceiver();
  const database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.databaseUrl });
  await admin.connect();
  await admin.query(`CREATE ROLE ${ROLE} LOGIN SUPERUSER PASSWORD '${DATABASE_PASSWORD}'`);
  redis = hasRedis() ? await spawnRedis() : null;
  if (redis !== null) await redisCommand(redis.url, 'CONFIG', 'SET', 'requirepass', REDIS_PASSWORD);
  installation = await startInstallation({
    queue: redis === null ? 'postgres' : 'redis',
    database,
    ...(redis !== null && { redis }),
    environment: environment(database.databaseUrl),
  });
}, 60_000);

afterAll(async () => {
  await killAll();
  const { databaseUrl } = installation.database;
  await admin.end();
  await installation.close();
  await receiver.close();
  const url = new URL(databaseUrl);
  url.pathname = '/postgres';
  const server = new pg.Client({ connectionString: url.href });
  await server.connect();
  await server.query(`DROP ROLE ${ROLE}`);
  await server.end();
}, 30_000);

function environment(databaseUrl: string): Record<string, string> {
  const url = new URL(databaseUrl);
  [url.username, url.password] = [ROLE, DATABASE_PASSWORD];
  const queue = redis === null ? '' : redis.url.replace('redis://', `redis://:${REDIS_PASSWORD}@`);
  return {
    DATABASE_URL: url.href,
    REDIS_URL: queue,
    POSTHORN_PLATFORM_KEY: PLATFORM_KEY,
    POSTHORN_ENCRYPTION_KEYS: `test:${ENCRYPTION_KEY.toString('base64')}`,
    LOG_LEVEL: 'trace',
  };
}

/** A secret that an answer shows, which from then on is looked for. */
function shown(what: string, value: unknown): string {
  const text = String(value);
  expect(text.length).toBeGreaterThan(20);
  secrets.push({ what, value: text });
  return text;
}

const clientOf = (key: string): ApiClient => installation.client.withKey(key);

async function statusOf(answer: Promise<{ readonly status: number }>): Promise<number> {
  return (await answer).status;
}

/** Every column of every table, as text. */
async function dump(): Promise<string> {
  const { rows: tables } = await admin.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`,
  );
  const parts: string[] = [];
  for (const { name } of tables) {
    const { rows } = await admin.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
    parts.push(...rows.map(({ row }) => `${name} ${row}`));
  }
  return parts.join('\n');
}

function everythingPrinted(): string {
  const processes = [...installation.apis, ...installation.workers];
  return [...processes.flatMap(({ lines }) => lines), ...bootOutput].join('\n');
}

test('a life with secrets in every place, and failures of all kinds', async () => {
  const platform = clientOf(PLATFORM_KEY);
  const merchantId = await platform.newMerchant({ name: NAME, external_id: 'unique' });
  const repeatable = { 'Idempotency-Key': 'planted' };

  // Keys: made, made again by the same Idempotency-Key, used, revoked, refused.
  const keys = `/v1/merchants/${merchantId}/api-keys`;
  const made = await platform.post(keys, { name: 'till' }, repeatable);
  const merchantKey = shown('a merchant key', made.body['key']);
  expect((await platform.post(keys, { name: 'till' }, repeatable)).body['key']).toBe(merchantKey);
  const gone = await platform.post('/v1/api-keys', { name: 'gone' });
  const goneKey = shown('a revoked key', gone.body['key']);
  expect(await statusOf(platform.delete(`/v1/api-keys/${String(gone.body['id'])}`))).toBe(204);
  for (const key of [goneKey, REFUSED_KEY, `${merchantKey}x`]) {
    expect(await statusOf(clientOf(key).get('/v1/webhooks'))).toBe(401);
  }
  expect(await statusOf(clientOf(merchantKey).get('/v1/merchants'))).toBe(403);

  // Webhooks: secrets given in both forms and made, headers set and changed, receivers that fail in different ways.
  const merchant = clientOf(merchantKey);
  const headers = { 'X-Shop': HEADER_VALUE };
  receiver.on('/failing', failFirst(1));
  receiver.on('/reset', resetConnection());
  receiver.on('/gone', respond(410));
  const first = await merchant.newWebhook(merchantId, receiver.url('/failing'), { secret: WHSEC, headers });
  await merchant.newWebhook(merchantId, receiver.url('/reset'), {
    secret: OWN_SECRET,
    signatures: [{ scheme: 'hex' }],
    headers,
  });
  const generated = await merchant.post(
    '/v1/webhooks',
    { url: receiver.url('/gone'), events: ['*'], headers },
    { 'Idempotency-Key': 'generated' },
  );
  shown('a generated secret', generated.body['secret']);
  const changed = { headers: { 'X-Shop': CHANGED_HEADER_VALUE } };
  expect(await statusOf(merchant.patch(`/v1/webhooks/${first.id}`, changed))).toBe(200);

  // An event that every one of them gets, and is retried.
  const event = await platform.sendEvent(merchantId, { data: { card: DATA_VALUE } });
  expect(event.deliveries).toBe(3);
  await receiver.waitFor(
    (requests) => requests.filter(({ path }) => path === '/failing').length >= 2,
    20_000,
  );
  await receiver.waitFor((requests) => requests.some(({ path }) => path === '/reset'), 20_000);

  // What is refused.
  const secretive = (fields: object): object => ({ url: receiver.url('/'), events: ['*'], ...fields });
  for (const body of [
    secretive({ secret: `whsec_${REFUSED_VALUE}` }),
    secretive({ headers: { 'X-Shop': `${REFUSED_VALUE}\n` } }),
    secretive({ headers: { Host: REFUSED_VALUE } }),
    secretive({ unknown: REFUSED_VALUE }),
    secretive({ url: `http://user:${REFUSED_VALUE}@127.0.0.1/` }),
  ]) {
    expect(await statusOf(merchant.post('/v1/webhooks', body))).toBe(422);
  }
  const malformed = `{"merchant_id":"${merchantId}","type":"a.b","data":{"card":"${DATA_VALUE}"`;
  expect(await statusOf(platform.call('POST', '/v1/events', { bytes: malformed }))).toBe(400);
  expect(await statusOf(platform.get(`/v1/events?secret=${REFUSED_VALUE}`))).toBe(422);
  const tooLarge = JSON.stringify({ data: { card: DATA_VALUE.repeat(20_000) } });
  expect(await statusOf(platform.call('POST', '/v1/events', { bytes: tooLarge }))).toBe(413);
  expect(await statusOf(platform.post('/v1/merchants', { name: 'x', external_id: 'unique' }))).toBe(409);

  // What breaks: statements that fail on a row that holds it all.
  for (const [table, call] of [
    ['endpoints', () => merchant.patch(`/v1/webhooks/${first.id}`, { headers: { 'X-Shop': HEADER_VALUE } })],
    ['endpoint_secrets', () => merchant.post('/v1/webhooks', secretive({ secret: WHSEC, headers }))],
    ['api_keys', () => platform.post(keys, { name: 'never' })],
    [
      'idempotency_keys',
      () => merchant.post('/v1/webhooks', secretive({ secret: OWN_SECRET }), { 'Idempotency-Key': 'fails' }),
    ],
    ['audit_log', () => platform.post('/v1/merchants', { name: 'never' })],
    [
      'events',
      () => platform.post('/v1/events', { merchant_id: merchantId, type: 'a.b', data: { card: DATA_VALUE } }),
    ],
  ] as const) {
    await admin.query(`ALTER TABLE ${table} ADD CONSTRAINT planted CHECK (false) NOT VALID`);
    expect([table, await statusOf(call())]).toEqual([table, 500]);
    await admin.query(`ALTER TABLE ${table} DROP CONSTRAINT planted`);
  }
}, 90_000);

test('the database and Redis go away and come back', async () => {
  const platform = clientOf(PLATFORM_KEY);
  await admin.query(`ALTER ROLE ${ROLE} NOLOGIN`);
  await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [ROLE]);
  await redis?.kill();
  await eventually(async () =>
    expect((await platform.get('/v1/merchants')).status).toBeGreaterThanOrEqual(500),
  );
  await eventually(
    () => expect(installation.workers[0]?.lines.join('\n')).toMatch(/sweep of .* failed/),
    20_000,
  );
  await admin.query(`ALTER ROLE ${ROLE} LOGIN`);
  if (redis !== null) {
    await redis.start();
    await redisCommand(redis.url, 'CONFIG', 'SET', 'requirepass', REDIS_PASSWORD);
  }
  await eventually(async () => expect(await statusOf(platform.get('/v1/merchants'))).toBe(200), 20_000);
}, 60_000);

test('programs that do not boot', async () => {
  const right = environment(installation.database.databaseUrl);
  const wrongPassword = new URL(right['DATABASE_URL'] ?? '');
  wrongPassword.username = 'nobody';
  const cases: Readonly<Record<string, string>>[] = [
    {
      POSTHORN_ENCRYPTION_KEYS: `test:${ENCRYPTION_KEY.toString('base64')},test:${ENCRYPTION_KEY.toString('base64')}`,
    },
    { POSTHORN_ENCRYPTION_KEYS: ENCRYPTION_KEY.toString('base64') },
    { POSTHORN_ENCRYPTION_KEYS: `other:${ENCRYPTION_KEY.toString('base64')}` },
    { POSTHORN_PLATFORM_KEY: `phk_${'0'.repeat(39)}` },
    { DATABASE_URL: wrongPassword.href },
    {
      DATABASE_URL: (right['DATABASE_URL'] ?? '')
        .replace('postgresql:', 'mysql:')
        .replace('postgres:', 'mysql:'),
    },
    { DATABASE_URL: (right['DATABASE_URL'] ?? '').replace(/:\d+\//, ':1/') },
    { REDIS_URL: `http://:${REDIS_PASSWORD}@127.0.0.1/` },
  ];
  for (const wrong of cases) {
    const isAboutTheDatabase =
      'DATABASE_URL' in wrong || wrong['POSTHORN_ENCRYPTION_KEYS']?.startsWith('other');
    for (const program of isAboutTheDatabase === true ? PROGRAMS : PROGRAMS.slice(0, 1)) {
      const ended = await runProgram(program, { environment: { PORT: '0', ...right, ...wrong } }).ended;
      expect([program, wrong, ended.exitCode]).toEqual([program, wrong, 1]);
      bootOutput.push(ended.stdout, ended.stderr);
    }
  }
}, 120_000);

test('a dump of the database holds no secret', async () => {
  const text = await dump();
  // The search itself: a text, and bytes, that are meant to be there.
  expect(foundIn(text, [{ what: 'a name', value: NAME }])).toEqual(['a name in clear']);
  expect(foundIn(text, [{ what: 'event data', value: DATA_VALUE }])).toEqual(['event data in hexadecimal']);
  expect(foundIn(text, secrets)).toEqual([]);
});

test('nothing that was printed holds a secret', () => {
  const text = everythingPrinted();
  // Everything was logged, and what went wrong too.
  const expected = ['"level":20', '"status":500', 'sweep of', '"path":"/v1/events"'];
  expect(expected.filter((part) => !text.includes(part))).toEqual([]);
  expect(bootOutput.join('').length).toBeGreaterThan(1_000);
  expect(foundIn(text, [...secrets, ...loggedNever])).toEqual([]);
});

test.each([
  ['in clear', (value: string) => `x${value}y`],
  ['in hexadecimal', (value: string) => Buffer.from(`x${value}y`).toString('hex').toUpperCase()],
  ['in base64', (value: string) => Buffer.from(value).toString('base64')],
  ['in base64', (value: string) => Buffer.from(`x${value}y`).toString('base64')],
  ['in base64', (value: string) => Buffer.from(`xy${value}zzz`).toString('base64url')],
])('the search finds what is there %s', (form, write) => {
  const value = `${marker('x')}?>~`;
  expect(foundIn(write(value), [{ what: 'it', value }])).toContain(`it ${form}`);
  expect(foundIn(write(marker('x')), [{ what: 'it', value }])).toEqual([]);
});
