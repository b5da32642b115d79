import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type Cluster, EMBEDDED_ROLE, ensureCluster } from '#adapters/postgres/embedded/cluster.js';
import { freeLoopbackPort } from '#adapters/postgres/embedded/loopback-port.js';
import { serverAccount } from '#adapters/postgres/embedded/server-account.js';
import { serverBinaries } from '#adapters/postgres/embedded/server-binaries.js';
import {
  endLeftovers,
  type RunningServer,
  type ServerSettings,
  startServer,
} from '#adapters/postgres/embedded/server-process.js';
import { applyMigrations, ownMigrationsDir } from '#adapters/postgres/migrate.js';
import { COORDINATOR_VARIABLE, type TestServer } from './postgres.js';

/** The number is that of the process that coordinates, so that what a killed one left can be told from what is in use. */
const DIRECTORY_PREFIX = 'posthorn-test-';

const TEMPLATE_DATABASE = 'posthorn_template';

const SETTINGS: ServerSettings = {
  // The data die with the run; only the machine's own crash would miss these.
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  // Several test files at once, each with several pools.
  max_connections: '300',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** Completes a database that was just migrated. */
type AfterMigrations = (client: pg.Client, databaseUrl: string) => Promise<void>;

export interface PostgresCoordinator {
  /** Stops the server, if one was started, and removes its data. */
  stop(): Promise<void>;
}

/**
 * Runs in the process that runs the test files and owns the one PostgreSQL of the run: starts it, with the migrated
 * template database, when the first test file asks, so that a run of unit tests does not pay for it.
 *
 * @param afterMigrations completes the template, as the `afterMigrations` of `applyMigrations` does in production
 */
export async function startPostgresCoordinator(
  afterMigrations?: AfterMigrations,
): Promise<PostgresCoordinator> {
  let run: Promise<TestRun> | undefined;
  const http = createServer((_request, response) => {
    run ??= startTestRun(afterMigrations);
    run.then(
      ({ server }) => response.end(JSON.stringify(server)),
      (error: unknown) => {
        response.statusCode = 500;
        response.end(error instanceof Error ? (error.stack ?? error.message) : String(error));
      },
    );
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  http.unref();
  process.env[COORDINATOR_VARIABLE] = `http://127.0.0.1:${String((http.address() as AddressInfo).port)}`;
  return {
    stop: async () => {
      await close(http);
      await run?.then(
        (started) => started.stop(),
        () => undefined,
      );
    },
  };
}

interface TestRun {
  readonly server: TestServer;
  stop(): Promise<void>;
}

async function startTestRun(afterMigrations?: AfterMigrations): Promise<TestRun> {
  await removeAbandonedRuns();
  const directory = await mkdtemp(join(tmpdir(), `${DIRECTORY_PREFIX}${String(process.pid)}-`));
  const cluster = await clusterIn(directory);
  const password = randomBytes(12).toString('hex');
  await ensureCluster(cluster, password);
  const port = await freeLoopbackPort();
  const running = await startServer(cluster, {
    port,
    settings: SETTINGS,
    logFile: join(directory, 'postgres.log'),
  });
  const onExit = endOnProcessExit(running, directory);
  const urlOf = (database: string): string =>
    `postgresql://${EMBEDDED_ROLE}:${password}@127.0.0.1:${String(port)}/${database}`;
  await makeTemplate(urlOf, afterMigrations);
  return {
    server: { adminUrl: urlOf('postgres'), templateDatabase: TEMPLATE_DATABASE },
    stop: async () => {
      process.off('exit', onExit);
      await running.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function clusterIn(directory: string): Promise<Cluster> {
  const path = join(directory, 'postgres');
  const account = await serverAccount(path);
  return { directory: path, account, binaries: await serverBinaries(account) };
}

async function makeTemplate(
  urlOf: (database: string) => string,
  afterMigrations?: AfterMigrations,
): Promise<void> {
  const admin = new pg.Client({ connectionString: urlOf('postgres') });
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
    await applyMigrations({
      databaseUrl: urlOf(TEMPLATE_DATABASE),
      migrationsDir: ownMigrationsDir(),
      log: () => undefined,
      ...(afterMigrations !== undefined && {
        afterMigrations: (client) => afterMigrations(client, urlOf(TEMPLATE_DATABASE)),
      }),
    });
    // A connection to the template would keep it from being cloned.
    await admin.query(`ALTER DATABASE ${TEMPLATE_DATABASE} ALLOW_CONNECTIONS false`);
  } finally {
    await admin.end();
  }
}

/** A run that is interrupted does not tear down. */
function endOnProcessExit(server: RunningServer, directory: string): () => void {
  const onExit = (): void => {
    try {
      process.kill(server.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
    rmSync(directory, { recursive: true, force: true });
  };
  process.on('exit', onExit);
  return onExit;
}

async function removeAbandonedRuns(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(new RegExp(`^${DIRECTORY_PREFIX}(\\d+)-`).exec(name)?.[1]);
    if (!Number.isInteger(pid) || isRunning(pid)) continue;
    const directory = join(tmpdir(), name);
    try {
      await endLeftovers(await clusterIn(directory), () => undefined);
      await rm(directory, { recursive: true, force: true });
    } catch {
      // Another user's, or half made: it is in nobody's way.
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function close(http: Server): Promise<void> {
  const closed = once(http, 'close');
  http.close();
  http.closeAllConnections();
  await closed;
}
