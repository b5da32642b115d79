import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeMachine, type Machine, tellMachine } from './machine.js';

/** From the root of the project, where `npm run` starts a benchmark. */
export const DATA_PARENT = process.env['POSTHORN_BENCH_DIR'] ?? '.posthorn';
const RESULTS = join('bench', 'results');

/**
 * Runs a benchmark to its end, writes what it returns to `bench/results/<name>.json`, and says how the process ends: 0
 * whenever there was something to measure, whether or not a target was met.
 *
 * @param measure gives null, and says why, when there is nothing to measure; it is to stop at the signal
 */
export async function runBenchmark(
  name: string,
  measure: (signal: AbortSignal) => Promise<object | null>,
): Promise<number> {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interruption.abort());
  try {
    const machine: Machine = await describeMachine(DATA_PARENT);
    console.log(tellMachine(machine).join('\n'));
    const measured = await measure(interruption.signal);
    if (measured === null) return 0;
    const file = join(RESULTS, `${name}.json`);
    await mkdir(RESULTS, { recursive: true });
    const report = { measured_at: new Date().toISOString(), machine, ...measured };
    await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`);
    console.log(`written to ${file}`);
    return 0;
  } catch (error) {
    if (interruption.signal.aborted) return 130;
    console.error(error);
    return 1;
  }
}
