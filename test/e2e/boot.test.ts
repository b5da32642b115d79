// How the programs answer to a database that they cannot work with: one line that says what to do, and exit code 1. Doubled:
// nothing. Each case has a database of the tests' own server; the programs are the built ones.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { testServer } from '#testkit/postgres.js';
import { killAll, PosthornProgram, runProgram } from './standalone-process.js';

const DATABASE = `test_boot_${randomBytes(6).toString('hex')}`;
const PROGRAMS = ['dist/apps/api/src/main.js', 'dist/apps/worker/src/main.js'];
const MIGRATE = 'dist/apps/api/src/migrate.js';

/** An empty database. */
let databaseUrl: string;
let admin: pg.Client;

beforeAll(async () => {
  const { adminUrl } = await testServer();
  admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${DATABASE}`);
  databaseUrl = withUrl(adminUrl, (url) => (url.pathname = `/${DATABASE}`));
});

afterAll(async () => {
  await killAll();
  await admin.query(`DROP DATABASE ${DATABASE} WITH (FORCE)`);
  await admin.end();
});

test.each([
  ['one that was not migrated', (url: URL) => url, /^The database has not been migrated .* npm run migrate/],
  [
    'one that is not there',
    (url: URL) => (url.pathname = '/nowhere'),
    /^PostgreSQL has no database of the name/,
  ],
  [
    'a wrong password',
    (url: URL) => (url.password = 'wrong'),
    /^PostgreSQL does not let the user .* in: .* password/,
  ],
  ['nobody there', (url: URL) => (url.port = '1'), /^Cannot reach the PostgreSQL that DATABASE_URL names/],
])('api and worker, %s', async (_, change, line) => {
  const environment = {
    DATABASE_URL: withUrl(databaseUrl, change),
    POSTHORN_ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64')}`,
    PORT: '0',
  };
  const all = await Promise.all(PROGRAMS.map((program) => runProgram(program, { environment }).ended));
  for (const { exitCode, stdout, stderr } of all) {
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(stdout).not.toContain('"level":50');
    expect(exitCode).toBe(1);
  }
});

test('npm run migrate without DATABASE_URL, or with an empty one, says what is missing', async () => {
  const environments = [{}, { DATABASE_URL: '', REDIS_URL: '', PORT: '' }];
  for (const environment of environments) {
    const npm = new PosthornProgram('npm', ['run', '--silent', 'migrate'], { environment });
    expect(await npm.ended).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^DATABASE_URL is needed\. .*\n$/),
    });
  }
});

test('migrate works, more than once, and by two at a time', async () => {
  const environment = { DATABASE_URL: databaseUrl };
  const both = await Promise.all([1, 2].map(() => runProgram(MIGRATE, { environment }).ended));
  expect(both).toMatchObject([
    { exitCode: 0, stderr: '' },
    { exitCode: 0, stderr: '' },
  ]);
  expect(both.filter(({ stdout }) => /^applied migration /m.test(stdout))).toHaveLength(1);
  const again = await runProgram(MIGRATE, { environment }).ended;
  expect(again).toMatchObject({ exitCode: 0, stdout: 'The schema is current.\n', stderr: '' });
  const { rows } = await inDatabase(
    "SELECT count(*)::int AS count FROM pg_class WHERE relname LIKE 'events_p%'",
  );
  expect(rows).toEqual([{ count: expect.any(Number) }]);
  expect(rows[0]?.count).toBeGreaterThan(1);
});

async function inDatabase(sql: string): Promise<pg.QueryResult<{ count: number }>> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

function withUrl(text: string, change: (url: URL) => unknown): string {
  const url = new URL(text);
  change(url);
  return url.href;
}
