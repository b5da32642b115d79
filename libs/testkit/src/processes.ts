import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { ApiClient } from './api-client.js';
import { eventually } from './eventually.js';
import { createTestDatabase, type TestDatabase } from './postgres.js';
import { spawnRedis, type OwnRedis } from './redis.js';

export type QueueKind = 'redis' | 'postgres';

export interface InstallationOptions {
  readonly queue: QueueKind;
  /** 1 if left out. */
  readonly apis?: number;
  /** 1 if left out. */
  readonly workers?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** A database of the caller's own making, which {@link Installation.close} drops; a new one if left out. */
  readonly database?: TestDatabase;
  /** A Redis of the caller's own making, which {@link Installation.close} stops; a new one if left out. */
  readonly redis?: OwnRedis;
}

/** A process of Posthorn, as an operator runs it: the built program, on a port of its own. */
export interface PosthornProcess {
  readonly child: ChildProcess;
  readonly url: string;
  /** Its log lines so far. */
  readonly lines: readonly string[];
  /** Sends a signal and resolves with the exit code and how long it took; null: ended by a signal. */
  end(signal?: NodeJS.Signals): Promise<{ readonly exitCode: number | null; readonly tookMs: number }>;
}

/**
 * Starts API and worker processes on a database, and a Redis, of their own. What stands in `dist` is run: `npm test`
 * builds before it tests.
 */
export async function startInstallation(options: InstallationOptions): Promise<Installation> {
  const database = options.database ?? (await createTestDatabase());
  const redis = options.queue === 'redis' ? (options.redis ?? (await spawnRedis())) : null;
  const installation = new Installation(database, redis, options.environment ?? {});
  try {
    await Promise.all([
      ...Array.from({ length: options.apis ?? 1 }, () => installation.startApi()),
      ...Array.from({ length: options.workers ?? 1 }, () => installation.startWorker()),
    ]);
  } catch (error) {
    await installation.close();
    throw error;
  }
  return installation;
}

export class Installation {
  readonly platformKey = `test_platform_${randomBytes(16).toString('hex')}`;
  readonly apis: PosthornProcess[] = [];
  readonly workers: PosthornProcess[] = [];
  private readonly environment: Readonly<Record<string, string>>;

  constructor(
    readonly database: TestDatabase,
    readonly redis: OwnRedis | null,
    environment: Readonly<Record<string, string>>,
  ) {
    this.environment = {
      DATABASE_URL: database.databaseUrl,
      REDIS_URL: redis?.url ?? '',
      HOST: '127.0.0.1',
      PORT: '0',
      POSTHORN_PLATFORM_KEY: this.platformKey,
      POSTHORN_ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64')}`,
      POSTHORN_ALLOW_HTTP: 'true',
      POSTHORN_EGRESS_ALLOW: '127.0.0.0/8,::1/128',
      LOG_LEVEL: 'info',
      ...environment,
    };
  }

  /** A client of the first API with the platform key. */
  get client(): ApiClient {
    return this.clientOf(0);
  }

  clientOf(api: number): ApiClient {
    const process = this.apis[api];
    if (process === undefined) throw new RangeError(`there is no API number ${api}`);
    return new ApiClient(process.url, this.platformKey);
  }

  /** @param environment what this one has beside the environment of all */
  async startApi(environment: Readonly<Record<string, string>> = {}): Promise<PosthornProcess> {
    const started = await startProcess('dist/apps/api/src/main.js', 'listening', {
      ...this.environment,
      ...environment,
    });
    this.apis.push(started);
    return started;
  }

  /** @param environment what this one has beside the environment of all */
  async startWorker(environment: Readonly<Record<string, string>> = {}): Promise<PosthornProcess> {
    const started = await startProcess('dist/apps/worker/src/main.js', 'working', {
      ...this.environment,
      ...environment,
    });
    this.workers.push(started);
    return started;
  }

  async close(): Promise<void> {
    await Promise.all([...this.apis, ...this.workers].map((running) => running.end('SIGKILL')));
    await this.redis?.stop();
    await this.database.drop();
  }
}

const ROOT = join(import.meta.dirname, '..', '..', '..');
const START_TIMEOUT_MS = 30_000;

async function startProcess(
  script: string,
  readyMessage: string,
  environment: Readonly<Record<string, string>>,
): Promise<PosthornProcess> {
  const child = spawn(process.execPath, ['--enable-source-maps', join(ROOT, script)], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line));
  }
  const url = await eventually(() => {
    if (child.exitCode !== null) return null;
    const ready = lines.map(parseLine).find((line) => line?.msg === readyMessage);
    if (ready?.url === undefined) throw new Error(`${script} did not start:\n${lines.join('\n')}`);
    return ready.url;
  }, START_TIMEOUT_MS);
  if (url === null) throw new Error(`${script} ended at once:\n${lines.join('\n')}`);
  return {
    child,
    url,
    lines,
    async end(signal = 'SIGTERM') {
      const startedMs = performance.now();
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await exited;
      }
      return { exitCode: child.exitCode, tookMs: performance.now() - startedMs };
    },
  };
}

function parseLine(line: string): { msg?: string; url?: string } | null {
  try {
    return JSON.parse(line) as { msg?: string; url?: string };
  } catch {
    return null;
  }
}
