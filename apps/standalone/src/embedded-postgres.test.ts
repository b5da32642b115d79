// One cluster is made and used by all the tests of the life cycle: making one is the slow part. Every test leaves nothing
// running on it. Observed are the server's own answers, the processes of the machine and the files; nothing is doubled.
// mkdtemp makes directories of mode 0700, so as root each of these tests has a data directory that the server's account
// cannot reach by its path. Not asserted: what a machine without /proc does, and the copy of the binaries, for which
// the installation itself would have to be out of reach.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres, StartupError } from './embedded-postgres.js';

jest.setTimeout(30_000);

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SOURCE = join(ROOT, 'apps/standalone/src/embedded-postgres.ts');
const HOOKS = pathToFileURL(join(ROOT, 'test/source-hooks.mjs')).href;
const isRoot = process.getuid?.() === 0;

/** Starts the database, says so, and stops it on SIGTERM. SIGINT it ignores, as a process that is settling would. */
const CHILD_SCRIPT = `
  const { startEmbeddedPostgres } = await import(${JSON.stringify(pathToFileURL(SOURCE).href)});
  process.on('SIGINT', () => {});
  try {
    const postgres = await startEmbeddedPostgres({ dataDir: process.argv[1], log: () => {} });
    console.log('ready ' + postgres.databaseUrl);
    const alive = setInterval(() => {}, 1000);
    process.on('SIGTERM', async () => { await postgres.stop(); clearInterval(alive); });
  } catch (error) {
    console.log(error.name + ': ' + error.message);
    process.exitCode = 1;
  }`;

let temporary: string;
let dataDir: string;
let lines: string[];

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'posthorn-test-embedded-'));
  dataDir = join(temporary, 'data');
  const postgres = await start();
  await query(postgres.databaseUrl, 'CREATE TABLE kept (id int)');
  await postgres.stop();
});

afterAll(async () => {
  await rm(temporary, { recursive: true });
});

describe('a start', () => {
  test('keeps the data of the one before, and its server is safe and reachable from this machine only', async () => {
    const postgres = await start();
    try {
      await query(postgres.databaseUrl, 'INSERT INTO kept VALUES (1)');
      const [settings] = await query(
        postgres.databaseUrl,
        `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
                current_setting('data_checksums') AS checksums, current_setting('server_encoding') AS encoding,
                current_setting('listen_addresses') AS addresses, current_setting('unix_socket_directories') AS sockets,
                (SELECT datlocale FROM pg_database WHERE datname = current_database()) AS locale`,
      );
      expect(settings).toEqual({
        fsync: 'on',
        synchronous_commit: 'on',
        checksums: 'on',
        encoding: 'UTF8',
        addresses: '127.0.0.1',
        sockets: '',
        locale: 'C.UTF-8',
      });
      const withoutPassword = new URL(postgres.databaseUrl);
      withoutPassword.password = 'wrong';
      await expect(query(withoutPassword.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    } finally {
      await postgres.stop();
    }
    const again = await start();
    expect(await query(again.databaseUrl, 'SELECT id FROM kept')).toEqual([{ id: 1 }]);
    await again.stop();
  });

  test('leaves files that only their owners can read', async () => {
    const readable = [];
    for (const name of ['postgres-password', 'postgres.log', 'postgres']) {
      const { mode } = await stat(join(dataDir, name));
      if ((mode & 0o077) !== 0) readable.push(name);
    }
    expect(readable).toEqual([]);
  });

  test('makes a new password known when the file was removed', async () => {
    await rm(join(dataDir, 'postgres-password'));
    const postgres = await start();
    expect(await query(postgres.databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await postgres.stop();
  });

  test('a postmaster.pid with the number of some other process is in nobody’s way', async () => {
    const file = join(dataDir, 'postgres', 'postmaster.pid');
    await writeFile(file, `${String(process.pid)}\n`);
    const { uid, gid } = await stat(join(dataDir, 'postgres'));
    await chown(file, uid, gid);
    const postgres = await start();
    await postgres.stop();
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  const asRoot = isRoot ? test : test.skip;
  asRoot(
    'as root, in a directory that the server’s account can reach, names that directory to the server',
    async () => {
      await chmod(temporary, 0o711);
      try {
        const postgres = await start();
        const [row] = await query(
          postgres.databaseUrl,
          "SELECT current_setting('data_directory') AS directory",
        );
        await postgres.stop();
        expect(row).toEqual({ directory: join(dataDir, 'postgres') });
      } finally {
        await chmod(temporary, 0o700);
      }
    },
  );
});

describe('a second process on the same data directory', () => {
  test('gets one clear line and exit code 1, and the first goes on', async () => {
    const postgres = await start();
    try {
      const second = startChild(dataDir);
      const exit = once(second, 'exit');
      expect(await firstLine(second)).toMatch(/^StartupError: Another Posthorn is running on \S+data: /);
      expect(await exit).toEqual([1, null]);
      expect(await query(postgres.databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    } finally {
      await postgres.stop();
    }
  });
});

describe('signals', () => {
  test('Ctrl-C on the process group does not reach the server', async () => {
    const child = startChild(dataDir);
    const url = await databaseUrlOf(child);
    process.kill(-processId(child), 'SIGINT');
    const exit = once(child, 'exit');
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
    await expect(query(url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('after kill -9 of our process, the next start ends the server that it left and goes on', async () => {
    const child = startChild(dataDir);
    const url = await databaseUrlOf(child);
    await query(url, 'INSERT INTO kept VALUES (9)');
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    const [orphan] = await query(url, 'SELECT pg_backend_pid() > 0 AS running');
    expect(orphan).toEqual({ running: true });

    const postgres = await start();
    expect(lines).toContainEqual(
      expect.stringMatching(/^stopping the PostgreSQL that an earlier run left behind/),
    );
    expect(await query(postgres.databaseUrl, 'SELECT id FROM kept WHERE id = 9')).toEqual([{ id: 9 }]);
    await postgres.stop();
    await expect(query(url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('a server that is killed is started again, on the same port, with what was committed', async () => {
    const postgres = await start();
    await query(postgres.databaseUrl, 'INSERT INTO kept VALUES (5)');
    const pid = Number((await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    await until(() => query(postgres.databaseUrl, 'SELECT pg_sleep(0)').then(() => lines.length > 0));
    expect(lines).toContain('the embedded PostgreSQL ended by itself: starting it again');
    expect(await query(postgres.databaseUrl, 'SELECT id FROM kept WHERE id = 5')).toEqual([{ id: 5 }]);
    await postgres.stop();
  });
});

describe('a data directory that cannot be used is named in one line, and left as it was', () => {
  test('read-only', async () => {
    const directory = await emptyDirectory();
    await chmod(directory, 0o555);
    await expectStartupError(
      directory,
      /^Cannot use the data directory \S+: (?:it is read-only|permission denied)$/,
    );
    expect(await readdir(directory)).toEqual([]);
  });

  test('a file', async () => {
    const directory = await emptyDirectory();
    await writeFile(join(directory, 'file'), '');
    await expectStartupError(join(directory, 'file'), /it is not a directory$/);
  });

  test('of another major version', async () => {
    const directory = await clusterDirectory({ PG_VERSION: '17\n' });
    await expectStartupError(directory, /was made by PostgreSQL 17, and this Posthorn brings PostgreSQL 18/);
    expect(await readdir(join(directory, 'postgres'))).toEqual(['PG_VERSION']);
  });

  test('something else than a cluster', async () => {
    const directory = await clusterDirectory({ 'holiday.jpg': '' });
    await expectStartupError(directory, /is not a PostgreSQL data directory/);
    expect(await readdir(join(directory, 'postgres'))).toEqual(['holiday.jpg']);
  });

  test('broken: the line says what the server said', async () => {
    const directory = await clusterDirectory({ PG_VERSION: '18\n', 'postgresql.conf': '' });
    await expectStartupError(
      directory,
      /^PostgreSQL could not set up \S+: could not open file "global\/pg_control"/,
    );
  });
});

describe('as an unprivileged user', () => {
  const nobody = { uid: 65_534, gid: 65_534 };
  const canTry =
    isRoot && spawnSync('test', ['-r', SOURCE, '-a', '-x', process.execPath], nobody).status === 0;
  const asNobody = canTry ? test : test.skip;

  asNobody('starts, keeps its data and stops', async () => {
    const directory = await emptyDirectory();
    await chmod(temporary, 0o711);
    await chown(directory, nobody.uid, nobody.gid);
    try {
      const child = startChild(join(directory, 'new'), nobody);
      const url = await databaseUrlOf(child);
      const exit = once(child, 'exit');
      await query(url, 'CREATE TABLE mine (id int)');
      child.kill('SIGTERM');
      expect(await exit).toEqual([0, null]);
      expect((await stat(join(directory, 'new', 'postgres'))).uid).toBe(nobody.uid);
    } finally {
      await chmod(temporary, 0o700);
    }
  });

  asNobody('a directory of somebody else is one clear line', async () => {
    await chmod(temporary, 0o711);
    try {
      const child = startChild(dataDir, nobody);
      expect(await firstLine(child)).toMatch(
        /^StartupError: Cannot use the data directory \S+: permission denied$/,
      );
    } finally {
      await chmod(temporary, 0o700);
    }
  });
});

function start(): Promise<EmbeddedPostgres> {
  lines = [];
  return startEmbeddedPostgres({ dataDir, log: (line) => lines.push(line) });
}

function startChild(directory: string, identity: { uid?: number; gid?: number } = {}): ChildProcess {
  return spawn(process.execPath, ['--import', HOOKS, '--input-type=module', '-e', CHILD_SCRIPT, directory], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...identity,
  });
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the child has no standard output');
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error('the child said nothing');
}

async function databaseUrlOf(child: ChildProcess): Promise<string> {
  const line = await firstLine(child);
  if (!line.startsWith('ready ')) throw new Error(`the child did not start: ${line}`);
  return line.slice('ready '.length);
}

function processId(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the child was not started');
  return child.pid;
}

async function emptyDirectory(): Promise<string> {
  return mkdtemp(join(temporary, 'empty-'));
}

/** A data directory whose cluster directory has just these files, owned as the server's account needs it. */
async function clusterDirectory(files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await emptyDirectory();
  const { uid, gid } = await stat(join(dataDir, 'postgres'));
  await mkdir(join(directory, 'postgres'), { mode: 0o700 });
  await chown(join(directory, 'postgres'), uid, gid);
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(directory, 'postgres', name), content);
    await chown(join(directory, 'postgres', name), uid, gid);
  }
  return directory;
}

async function expectStartupError(directory: string, message: RegExp): Promise<void> {
  const error: unknown = await startEmbeddedPostgres({ dataDir: directory, log: () => undefined }).then(
    () => new Error('it started'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StartupError);
  expect((error as Error).message).toMatch(message);
  expect((error as Error).message).not.toContain('\n');
}

async function query(connectionString: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Waits until the condition holds without an error. The test's own timeout bounds it. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition().catch(() => false))) await delay(20);
}
