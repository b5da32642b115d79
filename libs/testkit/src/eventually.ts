import { setTimeout as delay } from 'node:timers/promises';

/**
 * Resolves with what the assertion gives, once it passes; it is tried again and again until then.
 *
 * @throws whatever it threw last, when it has not passed after `timeoutMs`
 */
export async function eventually<Result>(
  assertion: () => Result | Promise<Result>,
  timeoutMs = 10_000,
): Promise<Result> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await delay(POLL_MS);
    }
  }
}

const POLL_MS = 15;
