import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runAs, type ServerAccount } from './run-as.js';
import type { ServerBinaries } from './server-binaries.js';
import { failureIn, hasFailure } from './server-output.js';
import { StartupError } from './startup-error.js';

/** The superuser and the database that every embedded cluster has. */
export const EMBEDDED_ROLE = 'posthorn';
export const EMBEDDED_DATABASE = 'posthorn';

/** Loopback only, and no password-less way in for the machine's other users. */
const HOST_BASED_AUTHENTICATION = `host all all 127.0.0.1/32 scram-sha-256\n`;

export interface Cluster {
  /** PostgreSQL's data directory. */
  readonly directory: string;
  readonly account: ServerAccount | undefined;
  readonly binaries: ServerBinaries;
}

/**
 * Makes the cluster when its directory is not there. It is made beside its final place and moved there when complete, so
 * a run that is killed meanwhile leaves nothing that looks like a cluster.
 *
 * @returns whether it was made
 * @throws StartupError when the directory holds something else, or another major version's data
 */
export async function ensureCluster(cluster: Cluster, password: string): Promise<boolean> {
  if (await isCluster(cluster)) return false;
  const draft: Cluster = { ...cluster, directory: `${cluster.directory}.new` };
  await rm(draft.directory, { recursive: true, force: true });
  await makeOwnDirectory(draft);
  await initialise(draft);
  await setPassword(draft, password);
  await singleUser(draft, `CREATE DATABASE ${EMBEDDED_DATABASE}\n`);
  await writeFile(join(draft.directory, 'pg_hba.conf'), HOST_BASED_AUTHENTICATION, { flush: true });
  await rename(draft.directory, cluster.directory);
  return true;
}

/** Sets the superuser's password. The server must not be running. */
export async function setPassword(cluster: Cluster, password: string): Promise<void> {
  await singleUser(cluster, `ALTER ROLE ${EMBEDDED_ROLE} PASSWORD '${password.replaceAll("'", "''")}'\n`);
}

/**
 * What to give the server as `-D` when its working directory is the cluster's. On Linux a path through
 * `/proc/self/cwd` reaches the cluster even if the account cannot enter a directory above it, so the data always stay where
 * they were asked for.
 *
 * @throws StartupError where there is no such path
 */
export async function dataDirectoryArgument({ directory, account }: Cluster): Promise<string> {
  if (account === undefined) return directory;
  const reachable = await runAs('test', ['-x', directory], { account, cwd: '/' });
  if (reachable.code === 0) return directory;
  if (process.platform === 'linux') return '/proc/self/cwd';
  throw new StartupError(
    `The account that PostgreSQL runs as (uid ${String(account.uid)}) cannot enter ${directory}: ` +
      'set POSTHORN_DATA_DIR to a directory under one that it can enter, or do not start as root.',
  );
}

async function isCluster({ directory, binaries }: Cluster): Promise<boolean> {
  const found = await stat(directory).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new StartupError(`Cannot read ${directory}: ${message}`, { cause: error });
  });
  if (found === undefined) return false;
  let version: string;
  try {
    version = (await readFile(join(directory, 'PG_VERSION'), 'utf8')).trim();
  } catch (cause) {
    throw new StartupError(`${directory} is not a PostgreSQL data directory: move it away.`, { cause });
  }
  if (version !== String(binaries.major)) {
    throw new StartupError(
      `${directory} was made by PostgreSQL ${version}, and this Posthorn brings PostgreSQL ${String(binaries.major)}: ` +
        'dump it with the Posthorn that made it and restore it into a new data directory.',
    );
  }
  return true;
}

async function makeOwnDirectory({ directory, account }: Cluster): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  await chmod(directory, 0o700);
  if (account !== undefined) await chown(directory, account.uid, account.gid);
}

async function initialise(cluster: Cluster): Promise<void> {
  const { code, output } = await runAs(
    cluster.binaries.initdb,
    [
      `--pgdata=${await dataDirectoryArgument(cluster)}`,
      `--username=${EMBEDDED_ROLE}`,
      // Replaced by HOST_BASED_AUTHENTICATION; until then nobody gets in.
      '--auth=reject',
      '--encoding=UTF8',
      // PostgreSQL's own Unicode rules: an upgrade of the machine's libc cannot change the order that indexes rely on.
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
      '--data-checksums',
      '--no-instructions',
    ],
    { account: cluster.account, cwd: cluster.directory },
  );
  if (code !== 0)
    throw new StartupError(`PostgreSQL could not make ${cluster.directory}: ${failureIn(output)}`);
}

/** One statement a line, without a semicolon, as the single-user backend reads them. It needs no authentication. */
async function singleUser(cluster: Cluster, input: string): Promise<void> {
  const { code, output } = await runAs(
    cluster.binaries.postgres,
    ['--single', '-D', await dataDirectoryArgument(cluster), 'postgres'],
    { account: cluster.account, cwd: cluster.directory, input },
  );
  // The backend goes on after an error in a statement, so the code alone does not tell.
  if (code !== 0 || hasFailure(output)) {
    throw new StartupError(`PostgreSQL could not set up ${cluster.directory}: ${failureIn(output)}`);
  }
}
