// Doubled: PostgreSQL, by a listener that never says a word. The rest is a real one, behind a relay that can be cut.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startSilentListener } from '#testkit/receiver/silent-listener.js';
import { ConnectionPool } from './connection-pool.js';
import { isDatabaseAway } from './database-error.js';
import { connectDatabase } from './database.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database.drop();
});

async function withPool(config: object, use: (pool: ConnectionPool) => Promise<void>): Promise<void> {
  const pool = new ConnectionPool({ connectionString: database.databaseUrl, max: 1, ...config });
  pool.on('error', () => undefined);
  try {
    await use(pool);
  } finally {
    await pool.end();
  }
}

test('a server that does not answer in time', async () => {
  const silent = await startSilentListener();
  const connectionString = `postgres://posthorn:x@127.0.0.1:${silent.port}/x`;
  await withPool({ connectionString, connectionTimeoutMillis: 50 }, async (pool) => {
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await expect(pool.connect()).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  });
  const away = connectDatabase(connectionString, 1);
  const error: unknown = await away.$queryRaw`SELECT 1`.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(isDatabaseAway(error)).toBe(true);
  await away.$disconnect();
  await silent.close();
}, 20_000);

test('no free connection in time', async () => {
  await withPool({ connectionTimeoutMillis: 1_000 }, async (pool) => {
    const only = await pool.connect();
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    only.release();
  });
});

test('a statement that is not answered in time', async () => {
  await withPool({ query_timeout: 50 }, async (pool) => {
    await expect(pool.query('SELECT pg_sleep(0.5)')).rejects.toMatchObject({ code: 'ECONNABORTED' });
    const client = await pool.connect();
    await expect(client.query('SELECT pg_sleep(0.5)')).rejects.toMatchObject({ code: 'ECONNABORTED' });
    client.release(true);
  });
});

test('a connection that breaks under a statement', async () => {
  const relay = await startRelay(Number(new URL(database.databaseUrl).port));
  const url = new URL(database.databaseUrl);
  url.port = String(relay.port);
  await withPool({ connectionString: url.href }, async (pool) => {
    const client = await pool.connect();
    client.on('error', () => undefined);
    // The network's own code where it has told before the driver noticed.
    const code = expect.stringMatching(/^ECONN(?:RESET|ABORTED)$/) as unknown;
    const answer = expect(client.query('SELECT pg_sleep(0.5)')).rejects.toMatchObject({ code });
    relay.cut();
    await answer.finally(() => client.release(true));
  });
  await relay.close();
});

test('what PostgreSQL itself says keeps its own code', async () => {
  await withPool({}, async (pool) => {
    await expect(pool.query('SELECT 1/0')).rejects.toMatchObject({ code: '22012' });
  });
});

async function startRelay(port: number) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((inner) => {
    const outer = connect(port, '127.0.0.1');
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    inner.pipe(outer).pipe(inner);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    close: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
