import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  type Cluster,
  EMBEDDED_DATABASE,
  EMBEDDED_ROLE,
  ensureCluster,
  setPassword,
} from '#adapters/postgres/embedded/cluster.js';
import { freeLoopbackPort, isLoopbackPortTaken } from '#adapters/postgres/embedded/loopback-port.js';
import { serverAccount } from '#adapters/postgres/embedded/server-account.js';
import { serverBinaries } from '#adapters/postgres/embedded/server-binaries.js';
import {
  endLeftovers,
  type RunningServer,
  type ServerSettings,
  startServer,
} from '#adapters/postgres/embedded/server-process.js';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';
import { openDataDirectory } from './data-directory.js';
import { lockDataDirectory } from './data-directory-lock.js';
import { readOrMakePrivateFile } from './private-file.js';
import { ServerSupervisor } from './server-supervisor.js';

export { StartupError };

/** Only this machine can try to guess it, but it is stored, not typed, so it costs nothing to make it long. */
const PASSWORD_RANDOM_BYTES = 24;

/** A port can be taken between finding it free and the server's binding it; three times in a row it is something else. */
const PORT_TRIES = 3;

const SETTINGS: ServerSettings = {
  // A 202 is a promise that the event survives a power cut. These are the defaults, and they must stay so.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  // API, worker, queue and a few people with psql, each with a pool of some ten connections.
  max_connections: '100',
  // Holds the hot tables and the newest partitions of a small installation; untouched pages cost no memory.
  shared_buffers: '256MB',
  // A checkpoint makes every page be logged whole once more, so they are far apart; the price is a start after a crash
  // that replays up to this much, some seconds.
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  wal_compression: 'pglz',
  // There is no replica and no archive.
  wal_level: 'minimal',
  max_wal_senders: '0',
  // open_deliveries turns over completely within seconds, and claims slow down with its dead rows: look often, work fast.
  autovacuum_naptime: '10s',
  autovacuum_vacuum_cost_limit: '2000',
  // Every statement is short: compiling it, or starting helpers for it, takes longer than running it.
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

export interface EmbeddedPostgres {
  readonly databaseUrl: string;
  /** Ends the server, within 10 s, and gives the data directory free. Everything that uses the database ends first. */
  stop(): Promise<void>;
}

/**
 * Starts the PostgreSQL of a standalone Posthorn: makes the cluster under `dataDir/postgres` when there is none, ends a
 * server that a killed run left behind, and starts the server again, on the same port, if it should end by itself.
 *
 * Under `dataDir`: `postgres/` (the cluster), `postgres-password`, `postgres.log`, `lock`. As root the server runs as another
 * account and the cluster belongs to that one; the rest is ours.
 *
 * @throws StartupError
 */
export async function startEmbeddedPostgres(options: {
  readonly dataDir: string;
  readonly log: (line: string) => void;
}): Promise<EmbeddedPostgres> {
  const dataDir = await openDataDirectory(options.dataDir);
  const clusterDir = join(dataDir, 'postgres');
  const account = await serverAccount(clusterDir);
  const unlock = lockDataDirectory(dataDir);
  try {
    const cluster: Cluster = { directory: clusterDir, account, binaries: await serverBinaries(account) };
    const password = await prepareCluster(cluster, dataDir, options.log);
    const launch = (port: number): Promise<RunningServer> =>
      startServer(cluster, { port, settings: SETTINGS, logFile: join(dataDir, 'postgres.log') });
    const { server, port } = await startOnFreePort(launch);
    const relaunch = async (): Promise<RunningServer> => {
      await endLeftovers(cluster, options.log);
      return launch(port);
    };
    const supervisor = new ServerSupervisor(server, relaunch, options.log);
    return {
      databaseUrl: `postgresql://${EMBEDDED_ROLE}:${password}@127.0.0.1:${String(port)}/${EMBEDDED_DATABASE}`,
      stop: async () => {
        await supervisor.stop();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Leaves the cluster made, with nothing running on it and its password set, and returns the password. */
async function prepareCluster(
  cluster: Cluster,
  dataDir: string,
  log: (line: string) => void,
): Promise<string> {
  const password = await readOrMakePrivateFile(join(dataDir, 'postgres-password'), () =>
    randomBytes(PASSWORD_RANDOM_BYTES).toString('hex'),
  );
  const isNew = await ensureCluster(cluster, password.content);
  if (isNew) {
    log(`made a PostgreSQL cluster in ${cluster.directory}`);
    return password.content;
  }
  await endLeftovers(cluster, log);
  // Somebody removed the file: the cluster must learn the new one.
  if (password.isNew) await setPassword(cluster, password.content);
  return password.content;
}

async function startOnFreePort(
  launch: (port: number) => Promise<RunningServer>,
): Promise<{ server: RunningServer; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freeLoopbackPort();
    try {
      return { server: await launch(port), port };
    } catch (error) {
      if (attempt === PORT_TRIES || !(await isLoopbackPortTaken(port))) throw error;
    }
  }
}
