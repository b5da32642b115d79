import { setTimeout as delay } from 'node:timers/promises';
import { readiness, type ReadinessCheck } from '#observability/readiness.js';

/** Everything was started by then; what is not ready after this, such as a Redis that is away, takes a person. */
const READY_TIMEOUT_MS = 5_000;
const POLL_MS = 20;

/** What still keeps it from being ready after a start, as `name: problem` lines; none when it is ready. */
export async function problemsAfterStart(
  checks: readonly ReadinessCheck[],
  interruption: AbortSignal,
): Promise<string[]> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const { ready, checks: results } = await readiness(checks);
    if (ready) return [];
    if (performance.now() > deadlineMs || interruption.aborted) {
      return Object.entries(results).flatMap(([name, result]) =>
        result === 'ok' ? [] : [`${name}: ${result}`],
      );
    }
    await delay(POLL_MS);
  }
}
