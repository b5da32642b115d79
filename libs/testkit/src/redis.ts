import { type ChildProcess, spawn } from 'node:child_process';
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

export interface RedisOptions {
  /** Whether it keeps an append-only file, and so has its data again after a restart. False if left out. */
  readonly appendOnly?: boolean;
  /** Further arguments of `redis-server`, which win over ours. */
  readonly serverArguments?: readonly string[];
}

export interface OwnRedis extends TestRedis {
  /** For tests that stop and kill it; that of the last start. */
  readonly pid: number;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on its port and directory after {@link kill}. */
  start(): Promise<void>;
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
export async function spawnRedis(options: RedisOptions = {}): Promise<OwnRedis> {
  const server = redisServerPath();
  if (server === undefined) throw new Error('there is no redis-server on the PATH');
  const directory = await mkdtemp(join(tmpdir(), 'posthorn-test-redis-'));
  const redis = new RedisServer(server, directory, await freeLoopbackPort(), options);
  try {
    await redis.start();
  } catch (error) {
    await redis.stop();
    throw error;
  }
  return redis;
}

class RedisServer implements OwnRedis {
  private child: ChildProcess | null = null;
  private ended: Promise<unknown> = Promise.resolve();
  private readonly killOnExit = (): void => {
    this.child?.kill('SIGKILL');
  };

  constructor(
    private readonly server: string,
    private readonly directory: string,
    private readonly port: number,
    private readonly options: RedisOptions,
  ) {
    process.on('exit', this.killOnExit);
  }

  get url(): string {
    return `redis://127.0.0.1:${String(this.port)}`;
  }

  get pid(): number {
    return this.child?.pid as number;
  }

  async start(): Promise<void> {
    const child = spawn(
      this.server,
      // prettier-ignore
      ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.directory, '--save', '',
        '--appendonly', this.options.appendOnly === true ? 'yes' : 'no', '--maxmemory-policy', 'noeviction',
        ...(this.options.serverArguments ?? [])],
      { stdio: 'ignore' },
    );
    const ended = once(child, 'exit');
    this.child = child;
    this.ended = ended;
    const starting = new AbortController();
    try {
      await Promise.race([
        answers(this.port, starting.signal),
        ended.then(() => {
          throw new Error(`redis-server ended with ${String(child.exitCode)} at its start`);
        }),
      ]);
    } finally {
      starting.abort();
    }
  }

  async kill(): Promise<void> {
    // Also ends one that a test has stopped with SIGSTOP.
    this.child?.kill('SIGKILL');
    await this.ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    process.off('exit', this.killOnExit);
    await rm(this.directory, { recursive: true, force: true });
  }
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
