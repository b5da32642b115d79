import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';

const ROOT = join(import.meta.dirname, '..', '..');
const STANDALONE = 'dist/apps/standalone/src/main.js';

/** Making a cluster and the first migration take about two seconds; on busy cores several times that. */
const READY_TIMEOUT_MS = 45_000;

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export interface StartOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** `main` if left out: the built program itself. `npm`: `npm start` in this checkout. */
  readonly through?: 'main' | 'npm';
  readonly identity?: Identity;
  /** This checkout if left out. */
  readonly cwd?: string;
  /** Of a built program. */
  readonly args?: readonly string[];
}

export interface Ended {
  /** null: ended by a signal. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** All that were started and have not ended, so that a failed test leaves none behind. */
const running = new Set<PosthornProgram>();

export async function killAll(): Promise<void> {
  await Promise.all([...running].map((program) => program.kill()));
}

/**
 * A program of Posthorn in a process group of its own, as a terminal's shell would start it, with nothing in its
 * environment but what is given.
 */
export class PosthornProgram {
  stdout = '';
  stderr = '';
  /** Resolves when it has ended and all that it started and that could still write has too. */
  readonly ended: Promise<Ended>;
  private readonly child: ChildProcess;

  constructor(
    command: string,
    args: readonly string[],
    { environment = {}, identity, cwd = ROOT }: StartOptions,
  ) {
    const options: SpawnOptions = {
      cwd,
      env: { PATH: pathWithNode(), HOME: process.env['HOME'], ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...identity,
    };
    this.child = spawn(command, args, options);
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    running.add(this);
    this.ended = once(this.child, 'close').then(([exitCode]) => {
      running.delete(this);
      return { exitCode: exitCode as number | null, stdout: this.stdout, stderr: this.stderr };
    });
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('it was not started');
    return this.child.pid;
  }

  /** Waits for the banner. @throws Error with its output when there is none */
  async ready(): Promise<{ readonly url: string }> {
    let hasEnded = false;
    void this.ended.then(() => (hasEnded = true));
    const url = await eventually(() => {
      const [, found] = /^Posthorn (?:is ready|runs) on (\S+)[^]*\nCtrl-C stops it/m.exec(this.stdout) ?? [];
      if (found === undefined && !hasEnded) throw new Error(`not ready:\n${this.stdout}${this.stderr}`);
      return found;
    }, READY_TIMEOUT_MS);
    if (url === undefined) throw new Error(`it ended:\n${this.stdout}${this.stderr}`);
    return { url };
  }

  /** To it alone. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** To its whole process group, as a terminal does with Ctrl-C. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  /** Whether a process of its group is left, itself included. */
  hasGroup(): boolean {
    try {
      process.kill(-this.pid, 0);
      return true;
    } catch {
      return false;
    }
  }

  async kill(): Promise<void> {
    if (this.hasGroup()) this.signalGroup('SIGKILL');
    await this.ended;
  }
}

/** Starts standalone on a free port. */
export function startStandalone(dataDir: string, options: StartOptions = {}): PosthornProgram {
  const environment = { PORT: '0', POSTHORN_DATA_DIR: dataDir, ...options.environment };
  return options.through === 'npm'
    ? new PosthornProgram('npm', ['start'], { ...options, environment })
    : runProgram(STANDALONE, { ...options, environment });
}

/** Runs a built program of this checkout. */
export function runProgram(script: string, options: StartOptions): PosthornProgram {
  return new PosthornProgram(
    process.execPath,
    ['--enable-source-maps', join(ROOT, script), ...(options.args ?? [])],
    options,
  );
}

/** The platform key that it printed. */
export function printedKey({ stdout }: { readonly stdout: string }): string | undefined {
  return /platform key +(phk_\w+)$/m.exec(stdout)?.[1];
}

/** A client with the platform key that a first start prints, unless another is given. */
export async function clientOf(program: PosthornProgram, knownKey?: string): Promise<ApiClient> {
  const { url } = await program.ready();
  const key = knownKey ?? printedKey(program);
  if (key === undefined) throw new Error('no platform key was printed');
  return new ApiClient(url, key);
}

/** Processes that stand in a directory or below, as PostgreSQL's do in its cluster; none where there is no /proc. */
export async function processesIn(directory: string): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      return cwd.startsWith(directory) ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

export const NOBODY: Identity = { uid: 65_534, gid: 65_534 };

/** Why a test cannot run the program as somebody without rights; null when it can. */
export function whyNotAsNobody(): string | null {
  if (process.getuid?.() !== 0) return 'not root, so every other test is one without rights';
  const readable = spawnSync('test', ['-r', join(ROOT, STANDALONE), '-a', '-x', process.execPath], NOBODY);
  return readable.status === 0 ? null : 'this checkout is closed to other users';
}

export function hasCommand(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' }).status === 0;
}

/** The Node that runs the tests comes first, as it does in npm's scripts. */
function pathWithNode(): string {
  return `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
}
