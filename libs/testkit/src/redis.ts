import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freeLoopbackPort } from '#adapters/postgres/embedded/loopback-port.js';

/** An empty Redis answers within milliseconds of its start; this bounds a machine that is overloaded. */
const READY_TIMEOUT_MS = 10_000;
const POLL_MS = 10;

export interface TestRedis {
  readonly url: string;
  stop(): Promise<void>;
}

export interface OwnRedis extends TestRedis {
  /** For tests that stop and kill it. */
  readonly pid: number;
}

/**
 * Whether the Redis half of the tests can run; a suite that needs it is named as skipped otherwise.
 *
 * @throws Error in CI, where skipping it would hide that it is not tested
 */
export function hasRedis(): boolean {
  if (externalUrl() !== undefined || redisServerPath() !== undefined) return true;
  if (process.env['CI'] === 'true') {
    throw new Error('CI=true, and there is neither REDIS_URL nor a redis-server on the PATH');
  }
  return false;
}

/**
 * A Redis for one test file: that of REDIS_URL, which other files share (so use names of your own, and do not flush
 * it), else a new `redis-server`; null when there is neither.
 *
 * @throws Error as {@link hasRedis} does
 */
export async function startRedis(): Promise<TestRedis | null> {
  if (!hasRedis()) return null;
  const url = externalUrl();
  return url === undefined ? spawnRedis() : { url, stop: () => Promise.resolve() };
}

/**
 * A `redis-server` of the caller's own on a free port of 127.0.0.1, for tests that flush, fill, stop or kill it.
 *
 * @throws Error when there is no `redis-server` on the PATH, or it does not start
 */
export async function spawnRedis(): Promise<OwnRedis> {
  const server = redisServerPath();
  if (server === undefined) throw new Error('there is no redis-server on the PATH');
  const directory = await mkdtemp(join(tmpdir(), 'posthorn-test-redis-'));
  const port = await freeLoopbackPort();
  const child = spawn(
    server,
    // prettier-ignore
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no',
      '--maxmemory-policy', 'noeviction'],
    { stdio: 'ignore' },
  );
  const killOnExit = (): void => {
    child.kill('SIGKILL');
  };
  process.on('exit', killOnExit);
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    // Also ends one that a test has stopped with SIGSTOP; there is nothing to save.
    child.kill('SIGKILL');
    await ended;
    process.off('exit', killOnExit);
    await rm(directory, { recursive: true, force: true });
  };
  const starting = new AbortController();
  try {
    await Promise.race([
      answers(port, starting.signal),
      ended.then(() => {
        throw new Error(`redis-server ended with ${String(child.exitCode)} at its start`);
      }),
    ]);
  } catch (error) {
    starting.abort();
    await stop();
    throw error;
  }
  return { url: `redis://127.0.0.1:${String(port)}`, pid: child.pid as number, stop };
}

function externalUrl(): string | undefined {
  const url = process.env['REDIS_URL'];
  return url === '' ? undefined : url;
}

function redisServerPath(): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const candidate = join(directory, 'redis-server');
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

async function answers(port: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      const socket = connect(port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        socket.write('PING\r\n');
        const [reply] = (await once(socket, 'data')) as [Buffer];
        if (reply.toString('latin1').startsWith('+PONG')) return;
      } finally {
        socket.destroy();
      }
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    if (performance.now() > deadline) throw new Error('redis-server did not answer PING');
    await delay(POLL_MS, undefined, { signal });
  }
}
