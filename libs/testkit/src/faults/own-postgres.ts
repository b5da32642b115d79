import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Cluster,
  EMBEDDED_DATABASE,
  EMBEDDED_ROLE,
  ensureCluster,
} from '#adapters/postgres/embedded/cluster.js';
import { freeLoopbackPort } from '#adapters/postgres/embedded/loopback-port.js';
import { serverAccount } from '#adapters/postgres/embedded/server-account.js';
import { serverBinaries } from '#adapters/postgres/embedded/server-binaries.js';
import {
  type RunningServer,
  type ServerSettings,
  startServer,
} from '#adapters/postgres/embedded/server-process.js';
import { migrateDatabase } from '#foundation/migrate-database.js';
import type { TestDatabase } from '../postgres.js';

/**
 * What was committed outlives the server: only the machine's own crash would miss `fsync`, and nobody crashes that here.
 */
const SETTINGS: ServerSettings = {
  fsync: 'off',
  synchronous_commit: 'on',
  shared_buffers: '64MB',
  max_wal_senders: '0',
  wal_level: 'minimal',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

export interface OwnPostgresOptions {
  /** Further settings of the server, which win over ours. */
  readonly settings?: ServerSettings;
  /** An existing, empty directory for its data; one under the system's directory for temporary files if left out. */
  readonly directory?: string;
}

/** A migrated PostgreSQL of the caller's own, for faults that stop, freeze or fill it. */
export async function startOwnPostgres(options: OwnPostgresOptions = {}): Promise<OwnPostgres> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'posthorn-fault-postgres-')));
  await chmod(directory, 0o755);
  const path = join(directory, 'data');
  const account = await serverAccount(path);
  const cluster = { directory: path, account, binaries: await serverBinaries(account) };
  const password = randomBytes(12).toString('hex');
  await ensureCluster(cluster, password);
  const port = await freeLoopbackPort();
  const databaseUrl = `postgresql://${EMBEDDED_ROLE}:${password}@127.0.0.1:${String(port)}/${EMBEDDED_DATABASE}`;
  const postgres = new OwnPostgres(cluster, directory, port, databaseUrl, {
    ...SETTINGS,
    ...options.settings,
  });
  try {
    await postgres.start();
    await migrateDatabase(databaseUrl, () => undefined);
  } catch (error) {
    await postgres.drop();
    throw error;
  }
  return postgres;
}

export class OwnPostgres implements TestDatabase {
  private server: RunningServer | null = null;
  private readonly onExit = (): void => {
    if (this.server !== null) signal(this.server.pid, 'SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  };

  constructor(
    private readonly cluster: Cluster,
    private readonly directory: string,
    private readonly port: number,
    readonly databaseUrl: string,
    private readonly settings: ServerSettings,
  ) {
    process.on('exit', this.onExit);
  }

  async start(): Promise<void> {
    const logFile = join(this.directory, 'postgres.log');
    this.server = await startServer(this.cluster, { port: this.port, settings: this.settings, logFile });
  }

  /** Ends it as `pg_ctl stop -m immediate` does: nothing is rolled back or written, the next start recovers. */
  async stopImmediately(): Promise<void> {
    if (this.server === null) return;
    signal(this.server.pid, 'SIGQUIT');
    await this.server.exited;
    this.server = null;
  }

  /** Starts it again if it has gone down by itself. */
  async ensureRunning(): Promise<void> {
    const { server } = this;
    const hasEnded =
      server === null || (await Promise.race([server.exited.then(() => true), delay(0, false)]));
    if (hasEnded) await this.start();
  }

  /** Stops every process of it where it stands: connections stay open and nothing is answered, new ones included. */
  freeze(): void {
    for (const pid of this.pids()) signal(pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const pid of this.pids()) signal(pid, 'SIGCONT');
  }

  async drop(): Promise<void> {
    this.thaw();
    await this.server?.stop();
    this.server = null;
    process.off('exit', this.onExit);
    await rm(join(this.directory, 'data'), { recursive: true, force: true });
    await rm(this.directory, { recursive: true, force: true }).catch(() => undefined);
  }

  private pids(): number[] {
    if (this.server === null) return [];
    const { pid } = this.server;
    return [pid, ...childrenOf(pid)];
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        // The fields after the command's closing bracket: state, parent.
        const [, parentPid] = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
        return Number(parentPid) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}
