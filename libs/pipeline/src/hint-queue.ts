/**
 * Where hints wait. A hint says "these deliveries may be due": it may be lost, late or doubled without harm, because
 * PostgreSQL alone knows what is due.
 */
export interface HintQueue {
  /**
   * Hands over hints. Rejects when the queue is away or does not answer in bounded time; the caller then gives the
   * deliveries back to the sweep of due deliveries.
   */
  add(hints: readonly Hint[]): Promise<void>;
  /** How many hints wait in a lane; those with a delay that has not ended are left out. Rejects as {@link add} does. */
  waiting(lane: Lane): Promise<number>;
}

export interface Hint {
  readonly lane: Lane;
  /** At most {@link HINT_DELIVERIES_MAX}, of one commit. Never empty. */
  readonly deliveryIds: readonly [string, ...string[]];
  /** How often the first delivery has been marked as hinted; with it the hint's id is never used twice. */
  readonly hintNumber: number;
  /** Milliseconds from now. 0: at once. */
  readonly delayMs: number;
}

export const LANES = ['fast', 'slow', 'suspect'] as const;

/**
 * `slow`: endpoints that take over a second run from a queue of their own, so that they can never fill the slots of the
 * others. `suspect`: deliveries whose attempts ended with their worker, one at a time, because they may be what ended it.
 */
export type Lane = (typeof LANES)[number];

/** Amortises the queue's cost per job; small enough that one hint never fills a worker. */
export const HINT_DELIVERIES_MAX = 32;

/**
 * How long a delivery that was hinted is left alone by the sweep of due deliveries. Longer than a healthy queue ever
 * takes, short enough that a lost hint costs seconds.
 */
export const HINT_TTL_MS = 15_000;
