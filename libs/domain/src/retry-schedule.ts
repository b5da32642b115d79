import { parseHttpDate } from './timestamps.js';

/** Waits between attempts when nobody chose others: four attempts in all. */
export const DEFAULT_RETRY_SCHEDULE_SECONDS: readonly number[] = [1, 4, 16];

const MINUTE = 60;
const HOUR = 3_600;

/** Schedules by name. `extended` reaches over three days, for receivers that may be down for a weekend. */
export const RETRY_PRESETS = {
  standard: DEFAULT_RETRY_SCHEDULE_SECONDS,
  extended: [
    5,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    10 * HOUR,
    24 * HOUR,
    24 * HOUR,
  ] as readonly number[],
} as const;
export type RetryPreset = keyof typeof RETRY_PRESETS;

/** Spreads receivers that failed together, without moving any wait out of sight of its nominal value. */
export const JITTER_FRACTION = 0.1;

/** A receiver may ask for time, but not park a delivery for longer than this. */
export const RETRY_AFTER_MS_MAX = 3_600_000;

/**
 * Milliseconds until the next attempt, or null when the schedule is spent.
 *
 * `failures` counts the steps charged so far, the one that has just failed included, so the first wait follows
 * failure 1. `random` is uniform in [0, 1). A `retryAfterMs` lengthens the wait, up to {@link RETRY_AFTER_MS_MAX},
 * and never shortens it; it adds no step to a schedule that is spent.
 * @throws RangeError when `failures` is not a whole number above 0
 */
export function nextWaitMs({
  scheduleSeconds,
  failures,
  random,
  retryAfterMs,
}: {
  readonly scheduleSeconds: readonly number[];
  readonly failures: number;
  readonly random: () => number;
  readonly retryAfterMs?: number | null | undefined;
}): number | null {
  if (!Number.isSafeInteger(failures) || failures < 1) {
    throw new RangeError(`failures must be a whole number above 0, not ${failures}`);
  }
  const baseSeconds = scheduleSeconds[failures - 1];
  if (baseSeconds === undefined) return null;
  const scheduledMs = withJitter(baseSeconds * 1_000, random);
  return Math.max(scheduledMs, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MS_MAX));
}

function withJitter(baseMs: number, random: () => number): number {
  return Math.round(baseMs * (1 - JITTER_FRACTION + 2 * JITTER_FRACTION * random()));
}

/** Fifteen digits are thirty million years; a longer number would not stay exact. */
const DELTA_SECONDS = /^\d{1,15}$/;

/**
 * Milliseconds that a `Retry-After` header asks for (RFC 9110, 10.2.3), counted from `nowMs`, Unix milliseconds:
 * seconds, or an HTTP date in any of its three forms; a moment that has passed is 0. Null for anything else.
 */
export function parseRetryAfter(value: string, nowMs: number): number | null {
  const text = value.trim();
  if (DELTA_SECONDS.test(text)) return Number(text) * 1_000;
  const dateMs = parseHttpDate(text, nowMs);
  return dateMs === null ? null : Math.max(0, dateMs - nowMs);
}
