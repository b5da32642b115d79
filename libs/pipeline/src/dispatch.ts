import type { OpenDelivery } from './accept-store.js';
import { HINT_DELIVERIES_MAX, LANES, type Hint, type HintQueue, type Lane } from './hint-queue.js';

/** What dispatch needs of the database. */
export interface DispatchStore {
  /**
   * Marks deliveries that are due and that no live hint speaks of, fairly over endpoints whose gate is open, and
   * returns them. Any number of workers may call it at once: none gets what another got.
   */
  takeDue(limits: {
    readonly deliveriesMax: number;
    readonly perEndpointMax: number;
  }): Promise<readonly DueDelivery[]>;
  /** Hands deliveries back to {@link takeDue}, because their hints did not reach the queue. */
  unhint(deliveryIds: readonly string[]): Promise<void>;
}

export interface DueDelivery {
  readonly deliveryId: string;
  readonly lane: Lane;
  readonly hintNumber: number;
}

/** What a dispatcher tells its surroundings; counted by metrics. */
export interface DispatchEvents {
  hinted(deliveries: number): void;
  hintsFailed(deliveries: number, error: unknown): void;
}

/**
 * Tells workers what may be due. The queue is only the fast way: every delivery whose hint fails or is lost is found
 * by {@link sweep}.
 */
export class Dispatcher {
  private readonly inFlight = new Set<Promise<void>>();

  constructor(
    private readonly store: DispatchStore,
    private readonly queue: HintQueue,
    private readonly events: DispatchEvents,
  ) {}

  /** Hints what accept has just committed. Returns at once: no answer waits for the queue. */
  committed(open: readonly OpenDelivery[]): void {
    if (open.length === 0) return;
    const later = open.filter(({ delayMs }) => delayMs > 0 && delayMs <= DELAYED_HINT_MS_MAX);
    const now = open.filter(({ delayMs }) => delayMs === 0);
    this.background([
      ...hintsOf(now.map(({ deliveryId }) => ({ deliveryId, lane: 'fast', hintNumber: 1 }))),
      ...later.map(({ deliveryId, delayMs }) => hint('fast', [deliveryId], 1, delayMs)),
    ]);
  }

  /** Hints the next attempts of deliveries that have just been settled. */
  retrying(retries: readonly (DueDelivery & { readonly delayMs: number })[]): void {
    this.background(
      retries
        .filter(({ delayMs }) => delayMs <= DELAYED_HINT_MS_MAX)
        .map(({ lane, deliveryId, hintNumber, delayMs }) => hint(lane, [deliveryId], hintNumber, delayMs)),
    );
  }

  /** One sweep of what is due. Resolves with the number of deliveries hinted. */
  async sweep(deliveriesMax: number): Promise<number> {
    const perEndpointMax = Math.max(1, Math.floor(deliveriesMax * ENDPOINT_SHARE));
    const due = await this.store.takeDue({ deliveriesMax, perEndpointMax });
    await this.hand(hintsOf(due));
    return due.length;
  }

  /** Resolves once every hint under way has reached the queue or was handed back. */
  async drained(): Promise<void> {
    while (this.inFlight.size > 0) await Promise.all(this.inFlight);
  }

  private background(hints: readonly Hint[]): void {
    const work = this.hand(hints).finally(() => this.inFlight.delete(work));
    this.inFlight.add(work);
  }

  private async hand(hints: readonly Hint[]): Promise<void> {
    if (hints.length === 0) return;
    const deliveries = hints.reduce((sum, { deliveryIds }) => sum + deliveryIds.length, 0);
    try {
      await this.queue.add(hints);
      this.events.hinted(deliveries);
    } catch (error) {
      this.events.hintsFailed(deliveries, error);
      // Delayed ones are found when they are due and their mark has run out; the others should go at once.
      const ids = hints.filter(({ delayMs }) => delayMs === 0).flatMap(({ deliveryIds }) => deliveryIds);
      // With the database away as well, the marks run out by themselves.
      await this.store.unhint(ids).catch(() => undefined);
    }
  }
}

function hintsOf(due: readonly DueDelivery[]): Hint[] {
  const hints: Hint[] = [];
  for (const lane of LANES) {
    const inLane = due.filter((delivery) => delivery.lane === lane);
    for (let start = 0; start < inLane.length; start += HINT_DELIVERIES_MAX) {
      const chunk = inLane.slice(start, start + HINT_DELIVERIES_MAX);
      const ids = chunk.map(({ deliveryId }) => deliveryId);
      hints.push(hint(lane, ids, chunk[0]?.hintNumber ?? 0, 0));
    }
  }
  return hints;
}

function hint(lane: Lane, deliveryIds: readonly string[], hintNumber: number, delayMs: number): Hint {
  return { lane, deliveryIds: deliveryIds as Hint['deliveryIds'], hintNumber, delayMs };
}

/** Waits up to this go to the queue as delayed hints; longer ones are found by the sweep, which is late by a second at most. */
export const DELAYED_HINT_MS_MAX = 60_000;
/** One endpoint gets at most this part of a sweep, so that a backlog of one cannot starve the rest. */
const ENDPOINT_SHARE = 0.25;
