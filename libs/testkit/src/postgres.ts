import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import pg from 'pg';

/** Where a test file finds the process that owns the run's PostgreSQL. Set by Jest's global set-up. */
export const COORDINATOR_VARIABLE = 'POSTHORN_TEST_POSTGRES_COORDINATOR';

/** SQLSTATE object_in_use: a database has connections. */
const OBJECT_IN_USE = '55006';

export interface TestServer {
  readonly adminUrl: string;
  readonly templateDatabase: string;
}

export interface TestDatabase {
  readonly databaseUrl: string;
  /**
   * Removes the database.
   *
   * @throws Error when connections to it are still open 5 s later: the test has leaked them. It is removed all the same.
   */
  drop(): Promise<void>;
}

/**
 * A new, migrated and empty database on the run's PostgreSQL, cloned from a template. Call it once per test file, and
 * `drop()` after everything that uses it has been closed.
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = await testServer();
  const name = `test_${randomBytes(8).toString('hex')}`;
  await asAdmin(server, `CREATE DATABASE ${name} TEMPLATE ${server.templateDatabase} STRATEGY wal_log`);
  const url = new URL(server.adminUrl);
  url.pathname = `/${name}`;
  return { databaseUrl: url.href, drop: () => drop(server, name) };
}

/** The run's server, for tests of what a cluster does: the URL of its database `postgres`, as superuser. */
export async function testServer(): Promise<TestServer> {
  const coordinator = process.env[COORDINATOR_VARIABLE];
  if (coordinator === undefined) {
    throw new Error(
      `${COORDINATOR_VARIABLE} is not set: tests that need PostgreSQL run under Jest's global set-up`,
    );
  }
  // No keep-alive: a pooled socket would outlive the test file.
  const [response] = (await once(get(coordinator, { agent: false }), 'response')) as [IncomingMessage];
  const body = await text(response);
  if (response.statusCode !== 200) throw new Error(`the tests' PostgreSQL did not start: ${body}`);
  return JSON.parse(body) as TestServer;
}

async function drop(server: TestServer, name: string): Promise<void> {
  try {
    // Waits up to 5 s for connections that are just closing.
    await asAdmin(server, `DROP DATABASE ${name}`);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== OBJECT_IN_USE) throw error;
    const open = await asAdmin(
      server,
      `SELECT coalesce(nullif(application_name, ''), 'unnamed') || ': ' || left(query, 100) AS session
         FROM pg_stat_activity WHERE datname = '${name}' AND backend_type = 'client backend'`,
    );
    await asAdmin(server, `DROP DATABASE ${name} WITH (FORCE)`);
    const sessions = open.map((row) => String(row['session']));
    throw new Error(`connections to the test database were left open: ${sessions.join('; ')}`, {
      cause: error,
    });
  }
}

async function asAdmin(server: TestServer, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.adminUrl });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
