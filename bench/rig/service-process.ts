import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process of Posthorn is ready within a second or two; this bounds one that cannot become so. */
const READY_TIMEOUT_MS = 30_000;
/** What a process may take to stop, with all that is in flight settled, and some more. */
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
/** Where the processes leave CPU profiles when they stop; none are made without it. */
const PROFILES = process.env['POSTHORN_BENCH_PROFILES'];
/** The last of what a process wrote, for the message when it fails. */
const OUTPUT_CHARACTERS_MAX = 4_000;

export interface ServiceProcess {
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * Starts a built program of Posthorn as a process of its own and waits until `/readyz` on its port says yes.
 *
 * @param program below `dist`, such as `apps/api/src/main.js`
 * @param nodeArguments before those that every program is started with
 * @throws Error with the end of its output when it ends, or is not ready in time
 */
export async function startService(
  program: string,
  environment: Readonly<Record<string, string>> & { readonly PORT: string },
  nodeArguments: readonly string[] = [],
): Promise<ServiceProcess> {
  const profiling = PROFILES === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${PROFILES}`];
  const child = spawn(
    process.execPath,
    [...nodeArguments, ...profiling, '--enable-source-maps', join(DIST, program)],
    {
      // Nothing of the caller's settings reaches it.
      env: { PATH: process.env['PATH'], ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C is for the benchmark, which stops its processes in order.
      detached: true,
    },
  );
  const output = collectOutput(child);
  const exited = once(child, 'exit');
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.on('exit', killOnExit);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    }
    process.off('exit', killOnExit);
  };
  try {
    await becomesReady(child, `http://127.0.0.1:${environment.PORT}/readyz`);
  } catch (cause) {
    await stop();
    throw new Error(`${program} did not become ready:\n${output()}`, { cause });
  }
  return { pid: child.pid as number, stop };
}

/** What is measured: what this was built with, which it runs beside in `dist/bench/rig`, or another build of Posthorn. */
const DIST = process.env['POSTHORN_BENCH_BUILD'] ?? join(import.meta.dirname, '..', '..');

async function becomesReady(child: ChildProcess, url: string): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it has ended');
    const response = await fetch(url, { signal: AbortSignal.timeout(READY_TIMEOUT_MS) }).catch(() => null);
    await response?.body?.cancel();
    if (response?.status === 200) return;
    await delay(POLL_MS);
  }
  throw new Error('it was not ready in time');
}

function collectOutput(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = `${text}${chunk}`.slice(-OUTPUT_CHARACTERS_MAX);
    });
  }
  return () => text;
}
