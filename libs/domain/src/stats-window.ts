const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const WINDOW = /^([1-9]\d{0,2})([hd])$/;
const WINDOW_MS_MAX = 30 * DAY_MS;

/** The steps that a series can have: the period that attempts are counted in, and multiples of it. */
const STEPS_MS: readonly number[] = [5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS];
/** What a chart still shows as points. */
const POINTS_MAX = 180;

/**
 * How wide the periods are that counts are kept in once they are older than an age, the oldest first: never wider than the
 * steps of a window that reaches there.
 */
export const STATS_WIDTHS: readonly { readonly olderThanMs: number; readonly widthMs: number }[] = [
  { olderThanMs: 8 * DAY_MS, widthMs: 6 * HOUR_MS },
  { olderThanMs: 2 * DAY_MS, widthMs: HOUR_MS },
  { olderThanMs: 16 * HOUR_MS, widthMs: 15 * MINUTE_MS },
  // Written by commits under way until a moment after they are over.
  { olderThanMs: 15 * MINUTE_MS, widthMs: 5 * MINUTE_MS },
];

/** A time up to now, cut into steps that begin at multiples of their length since the epoch. */
export interface StatsWindow {
  /** Unix milliseconds; the start of the first step. */
  readonly fromMs: number;
  /** The end of the last step, which may lie ahead: the step that is under way is the last one. */
  readonly toMs: number;
  readonly stepMs: number;
}

/**
 * How long a window is, from `1h` to `30d`.
 * @returns milliseconds; null for what is no window, or a longer one
 */
export function parseWindowMs(text: string): number | null {
  const [, amount, unit] = WINDOW.exec(text) ?? [];
  if (amount === undefined) return null;
  const ms = Number(amount) * (unit === 'd' ? DAY_MS : HOUR_MS);
  return ms <= WINDOW_MS_MAX ? ms : null;
}

/** The window of this length that ends with the step that `nowMs` is in, in the finest steps that give 180 points or fewer. */
export function statsWindow(windowMs: number, nowMs: number): StatsWindow {
  const stepMs = STEPS_MS.find((step) => windowMs / step <= POINTS_MAX) ?? 6 * HOUR_MS;
  const toMs = (Math.floor(nowMs / stepMs) + 1) * stepMs;
  return { fromMs: toMs - Math.ceil(windowMs / stepMs) * stepMs, toMs, stepMs };
}
