import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cluster, dataDirectoryArgument } from './cluster.js';
import { identity, runAs, serverEnvironment } from './run-as.js';
import { failureIn } from './server-output.js';
import { StartupError } from './startup-error.js';

/** Start-up may include replaying the log of a crash: up to `max_wal_size`, at some 20 MB/s on a slow disk. */
const READY_TIMEOUT_MS = 120_000;

/** Short enough not to be felt in a start of 100 ms; a poll reads one small file. */
const POLL_MS = 20;

/** A fast shutdown rolls back, writes a checkpoint and ends; with a slow disk it may not get that far. */
const FAST_STOP_TIMEOUT_MS = 6_000;

/** An immediate shutdown writes nothing: the next start replays the log. */
const IMMEDIATE_STOP_TIMEOUT_MS = 2_000;

/** Backends end by themselves when their postmaster has died; PostgreSQL does not start while one is left. */
const LEFTOVER_TIMEOUT_MS = 5_000;

/** The log is for finding out why a start failed; warnings only, so this is a long time. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;

/** How much of the log's end is searched for the reason of a failed start. */
const LOG_TAIL_BYTES = 8 * 1024;

/** `%e` is the SQLSTATE. */
const LOG_SETTINGS = { log_line_prefix: '%m [%p] %e ', log_min_messages: 'warning', log_checkpoints: 'off' };

export type ServerSettings = Readonly<Record<string, string>>;

export interface RunningServer {
  readonly pid: number;
  /** Settles when the server has ended, for whatever reason. */
  readonly exited: Promise<void>;
  /** Ends the server, politely first and within 10 s in any case. No committed data is lost either way. */
  stop(): Promise<void>;
}

/**
 * Starts the cluster's server on 127.0.0.1 and waits until it accepts connections.
 *
 * It gets its own process group and session, so that Ctrl-C on our terminal does not reach it: work in flight is settled
 * first. It logs to a file of its own, so it does not depend on our living.
 *
 * @throws StartupError with the reason that the server logged
 */
export async function startServer(
  cluster: Cluster,
  options: { readonly port: number; readonly settings: ServerSettings; readonly logFile: string },
): Promise<RunningServer> {
  const settings = { ...LOG_SETTINGS, ...options.settings };
  const args = [
    '-D',
    await dataDirectoryArgument(cluster),
    '-p',
    String(options.port),
    '-h',
    '127.0.0.1',
    // No socket: its path may not have more than 107 bytes, and other users could reach it under /tmp.
    '-k',
    '',
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  await rotateLog(options.logFile);
  const log = openSync(options.logFile, 'a', 0o600);
  const logStart = fstatSync(log).size;
  let child: ChildProcess;
  try {
    child = spawn(cluster.binaries.postgres, args, {
      cwd: cluster.directory,
      env: serverEnvironment(),
      stdio: ['ignore', log, log],
      detached: true,
      ...identity(cluster.account),
    });
    await once(child, 'spawn');
  } catch (cause) {
    throw new StartupError(`Cannot run ${cluster.binaries.postgres}: ${String(cause)}`, { cause });
  } finally {
    closeSync(log);
  }
  // `pid` is set once 'spawn' was emitted.
  const pid = child.pid as number;
  const exited = once(child, 'exit').then(() => undefined);
  // Whoever runs the server decides how long to live; the server alone does not keep a process alive.
  child.unref();
  const server: RunningServer = { pid, exited, stop: () => endServer(pid, exited) };
  await waitUntilReady(cluster, server, child, { file: options.logFile, start: logStart });
  return server;
}

/**
 * Ends what an earlier run that was killed has left running on this cluster, and removes a `postmaster.pid` that would
 * keep PostgreSQL from starting because its number now belongs to some other process. The caller holds the lock of
 * the data directory, so nobody is using that server.
 *
 * @throws StartupError when it cannot be ended
 */
export async function endLeftovers(cluster: Cluster, log: (line: string) => void): Promise<void> {
  const recorded = (await readPidFile(cluster))?.pid;
  const left = await serverProcesses(cluster, recorded);
  if (left.length === 0) {
    if (recorded !== undefined && exists(recorded)) await rm(join(cluster.directory, 'postmaster.pid'));
    return;
  }
  if (recorded !== undefined && left.includes(recorded)) {
    log(`stopping the PostgreSQL that an earlier run left behind (pid ${String(recorded)})`);
    await endServer(
      recorded,
      pollUntil(async () => !(await isLeft(cluster, recorded))),
    );
  }
  const gone = pollUntil(async () => (await serverProcesses(cluster, recorded)).length === 0);
  if (!(await settlesWithin(gone, LEFTOVER_TIMEOUT_MS))) {
    throw new StartupError(
      `A PostgreSQL process of ${cluster.directory} does not end: see its processes with ps.`,
    );
  }
}

/** What this start has logged: the file from an offset on. */
interface LogSection {
  readonly file: string;
  readonly start: number;
}

async function waitUntilReady(
  cluster: Cluster,
  server: RunningServer,
  child: ChildProcess,
  log: LogSection,
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new StartupError(`PostgreSQL did not start on ${cluster.directory}: ${await lastFailure(log)}`);
    }
    const recorded = await readPidFile(cluster);
    if (recorded?.pid === server.pid && recorded.status === 'ready') return;
    if (performance.now() > deadline) {
      await server.stop();
      throw new StartupError(
        `PostgreSQL on ${cluster.directory} was not ready within ${String(READY_TIMEOUT_MS / 1000)} s.`,
      );
    }
    await delay(POLL_MS);
  }
}

async function endServer(pid: number, exited: Promise<unknown>): Promise<void> {
  const steps: [NodeJS.Signals, number][] = [
    ['SIGINT', FAST_STOP_TIMEOUT_MS],
    ['SIGQUIT', IMMEDIATE_STOP_TIMEOUT_MS],
    ['SIGKILL', IMMEDIATE_STOP_TIMEOUT_MS],
  ];
  for (const [signal, timeoutMs] of steps) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    if (await settlesWithin(exited, timeoutMs)) return;
  }
}

async function settlesWithin(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const timeout = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    timer.abort();
  }
}

/** Resolves when the condition holds, and gives up silently after all the timeouts of this file are over. */
async function pollUntil(condition: () => Promise<boolean>): Promise<void> {
  const deadline =
    performance.now() + FAST_STOP_TIMEOUT_MS + 2 * IMMEDIATE_STOP_TIMEOUT_MS + LEFTOVER_TIMEOUT_MS;
  while (!(await condition()) && performance.now() < deadline) await delay(POLL_MS);
}

/** Lines of `postmaster.pid`: 1 the process, 8 the status, written when it changes. */
async function readPidFile({ directory }: Cluster): Promise<{ pid: number; status: string } | undefined> {
  const text = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => '');
  const lines = text.split('\n');
  const pid = Number.parseInt(lines[0] ?? '', 10);
  return pid > 0 ? { pid, status: (lines[7] ?? '').trim() } : undefined;
}

async function isLeft(cluster: Cluster, pid: number): Promise<boolean> {
  return (await serverProcesses(cluster, pid)).includes(pid);
}

/**
 * The PostgreSQL processes of this cluster. A number in a file proves nothing, since numbers are given again; but
 * postmaster and backends all have the cluster as working directory. Without /proc only the recorded one can be looked at.
 */
async function serverProcesses(cluster: Cluster, recorded: number | undefined): Promise<number[]> {
  if (existsSync('/proc/self/cwd')) {
    const { dev, ino } = statSync(cluster.directory);
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && isPostgresIn(name, dev, ino))
      .map(Number);
  }
  if (recorded === undefined) return [];
  const { code, output } = await runAs('ps', ['-p', String(recorded), '-o', 'command='], { cwd: '/' });
  return code === 0 && output.includes(cluster.directory) && output.includes('postgres') ? [recorded] : [];
}

function isPostgresIn(pid: string, dev: number, ino: number): boolean {
  try {
    // A person's shell may stand in the directory too. The suffix is " (deleted)" after an upgrade.
    if (basename(readlinkSync(`/proc/${pid}/exe`)).split(' ')[0] !== 'postgres') return false;
    const cwd = statSync(`/proc/${pid}/cwd`);
    return cwd.dev === dev && cwd.ino === ino;
  } catch {
    // It has ended, or is another user's.
    return false;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function rotateLog(logFile: string): Promise<void> {
  const size = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LOG_BYTES_MAX) await rename(logFile, `${logFile}.1`);
}

async function lastFailure(log: LogSection): Promise<string> {
  const file = await open(log.file);
  try {
    const { size } = await file.stat();
    const tail = Buffer.alloc(Math.min(size - log.start, LOG_TAIL_BYTES));
    await file.read(tail, 0, tail.length, size - tail.length);
    return failureIn(tail.toString('utf8'));
  } finally {
    await file.close();
  }
}
