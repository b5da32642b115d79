// Injected: receivers that do every harm an HTTP or TLS peer can do, 10,000 times, 200 at once.
// Observed: from inside a process that holds nothing but the real sender: outcomes, times, memory, what is left open.
// Must hold: each request ends by its deadline with the outcome that its receiver deserves; memory stays where it was
//   after the first thousand; no socket and no timer is left.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { HostileRunOptions, HostileRunReport } from '#testkit/faults/hostile-run.js';
import { startHostileReceiver } from '#testkit/receiver/hostile-receiver.js';

const REQUESTS = 10_000;
const CONCURRENCY = 200;
const TIMEOUT_MS = 1_000;
/** How late a timer fires on a machine where sender and receivers share two cores, and others with them. */
const LATE_MS_MAX = 2_000;
/** What the last 7,000 may add to the peak of the first 3,000, in which the heap finds its size: 5 KiB a request leaked is more. */
const GROWTH_BYTES_MAX = 32 * 1_048_576;
const WARM_TENTHS = 3;
/** Usually 25 s, nearly all of it waiting for deadlines; this only bounds a mistake. */
const RUN_MS_MAX = 90_000;
const PROGRAM = join(
  import.meta.dirname,
  '..',
  '..',
  'dist',
  'libs',
  'testkit',
  'src',
  'faults',
  'hostile-run.js',
);

test(`${REQUESTS} hostile responses, ${CONCURRENCY} at once`, async () => {
  const receiver = await startHostileReceiver();
  try {
    const { hostilities } = receiver;
    const options: HostileRunOptions = {
      targets: hostilities.map(({ name, url, bodyBytes }) => ({ name, url, bodyBytes })),
      requests: REQUESTS,
      concurrency: CONCURRENCY,
      timeoutMs: TIMEOUT_MS,
    };
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, JSON.stringify(options)], {
      timeout: RUN_MS_MAX,
    });
    const report = JSON.parse(stdout) as HostileRunReport;
    process.stdout.write(`${summaryOf(report)}\n`);

    for (const { name, outcome } of hostilities) {
      // On a busy machine a receiver may not have done its worst in time; what else ends otherwise is wrong.
      const { timeout: _timeout, ...others } = report.outcomes[name] ?? {};
      if (outcome.test('timeout')) expect([name, others]).toEqual([name, {}]);
      else expect([name, Object.keys(others)]).toEqual([name, [expect.stringMatching(outcome)]]);
    }
    const ended = Object.values(report.outcomes).flatMap((counts) => Object.values(counts));
    expect(ended.reduce((sum, count) => sum + count, 0)).toBe(REQUESTS);
    expect(Math.max(...Object.values(report.latenessMs))).toBeLessThan(LATE_MS_MAX);
    const { afterTenths } = report.rssBytes;
    const warmBytes = Math.max(...afterTenths.slice(0, WARM_TENTHS));
    expect(Math.max(...afterTenths) - warmBytes).toBeLessThan(GROWTH_BYTES_MAX);
    expect(report.leftOpen).toEqual([]);
  } finally {
    await receiver.close();
  }
}, 120_000);

function summaryOf({ tookMs, rssBytes, latenessMs, outcomes }: HostileRunReport): string {
  const mib = (bytes: number): string => (bytes / 1_048_576).toFixed(0);
  const kinds: Record<string, number> = {};
  for (const counts of Object.values(outcomes)) {
    for (const [outcome, count] of Object.entries(counts)) kinds[outcome] = (kinds[outcome] ?? 0) + count;
  }
  const ends = Object.entries(kinds).map(([outcome, count]) => `${outcome} ${count}`);
  return [
    `${REQUESTS} hostile responses of ${Object.keys(outcomes).length} kinds in ${(tookMs / 1_000).toFixed(1)} s: ${ends.join(', ')}`,
    `latest end ${Math.max(...Object.values(latenessMs))} ms after its deadline of ${TIMEOUT_MS} ms`,
    `RSS after each ${REQUESTS / 10}: ${rssBytes.afterTenths.map(mib).join(' ')} MiB, peak: ${mib(rssBytes.peak)} MiB`,
  ].join('\n');
}
