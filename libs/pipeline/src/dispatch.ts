import type { OpenDelivery } from './accept-store.js';
import type { HintBudget } from './hint-budget.js';
import { HINT_DELIVERIES_MAX, LANES, type Hint, type HintQueue, type Lane } from './hint-queue.js';
import type { Rooms } from './rooms.js';

/** What dispatch needs of the database. */
export interface DispatchStore {
  /**
   * Marks deliveries of a lane that are due and that no live hint speaks of, fairly over endpoints whose gate is open
   * and no more of each than its gate lets through, and returns them. Any number of workers may call it at once: none
   * gets what another got.
   */
  takeDue(lane: Lane, limits: TakeLimits): Promise<readonly DueDelivery[]>;
  /**
   * Whether something is due that only its endpoint's room or rate keeps back, and so may go any moment. What is paused,
   * or waits for a breaker, does not count.
   */
  isAnyHeldBack(): Promise<boolean>;
  /** Hands deliveries back to {@link takeDue}, because their hints did not reach the queue. */
  unhint(deliveryIds: readonly string[]): Promise<void>;
}

export interface TakeLimits {
  readonly deliveriesMax: number;
  readonly perEndpointMax: number;
  /** What the worker that asks could take itself: others ask for themselves. */
  readonly rooms: Rooms;
}

export interface DueDelivery {
  readonly deliveryId: string;
  readonly endpointId: string;
  readonly lane: Lane;
  readonly hintNumber: number;
}

export interface Swept {
  /** How many were hinted. */
  readonly deliveries: number;
  /** Whether the next sweep should follow soon: there is a backlog that moves. */
  readonly isMoreToCome: boolean;
}

/** What a dispatcher tells its surroundings; counted by metrics. */
export interface DispatchEvents {
  hinted(deliveries: number): void;
  hintsFailed(deliveries: number, error: unknown): void;
}

/**
 * Tells workers what may be due. The queue is only the fast way, and a bounded one: every delivery that is not hinted,
 * or whose hint fails or is lost, is found by {@link sweep}.
 */
export class Dispatcher {
  private readonly inFlight = new Set<Promise<void>>();
  /** Endpoints that the last sweep of a lane found something of: the next one shares between so many. */
  private readonly endpointsSeen: Record<Lane, number> = { fast: 1, slow: 1, suspect: 1 };

  constructor(
    private readonly store: DispatchStore,
    private readonly queue: HintQueue,
    private readonly budgets: Readonly<Record<Lane, HintBudget>>,
    private readonly events: DispatchEvents,
  ) {}

  /**
   * Whether a delivery that is about to be committed will be hinted, after the commit, by {@link committed}. False: it is
   * to be left to the sweep, because the queue is full, away, or has enough of this endpoint or merchant.
   */
  willHint(endpointId: string, merchantId: string, delayMs: number): boolean {
    return delayMs <= DELAYED_HINT_MS_MAX && this.budgets.fast.take(endpointId, merchantId);
  }

  /** Hints what accept has just committed. Returns at once: no answer waits for the queue. */
  committed(open: readonly OpenDelivery[]): void {
    const now: DueDelivery[] = [];
    const later: Hint[] = [];
    for (const { deliveryId, endpointId, delayMs } of open) {
      if (delayMs > 0) later.push(hint('fast', [deliveryId], 1, delayMs));
      else now.push({ deliveryId, endpointId, lane: 'fast', hintNumber: 1 });
    }
    this.background([...hintsOf(now), ...later]);
  }

  /** Hints the next attempts of deliveries that have just been settled. */
  retrying(retries: readonly (DueDelivery & { readonly delayMs: number })[]): void {
    this.background(
      retries
        .filter(({ delayMs }) => delayMs <= DELAYED_HINT_MS_MAX)
        .map(({ lane, deliveryId, hintNumber, delayMs }) => hint(lane, [deliveryId], hintNumber, delayMs)),
    );
  }

  /** One sweep over all lanes of what is due and there are rooms for. */
  async sweep(rooms: Readonly<Record<Lane, Rooms>>): Promise<Swept> {
    const hinted = await Promise.all(LANES.map((lane) => this.sweepLane(lane, rooms[lane])));
    const deliveries = hinted.reduce((sum, ofLane) => sum + ofLane, 0);
    return { deliveries, isMoreToCome: deliveries > 0 || (await this.store.isAnyHeldBack()) };
  }

  /** Resolves once every hint under way has reached the queue or was handed back. */
  async drained(): Promise<void> {
    while (this.inFlight.size > 0) await Promise.all(this.inFlight);
  }

  private async sweepLane(lane: Lane, rooms: Rooms): Promise<number> {
    const budget = this.budgets[lane];
    const deliveriesMax = Math.min(await budget.available(), SWEEP_MAX_OF_LANE[lane]);
    if (deliveriesMax === 0) return 0;
    const share = Math.ceil(deliveriesMax / this.endpointsSeen[lane]);
    const perEndpointMax = Math.max(1, Math.min(share, budget.perEndpointMax));
    const due = await this.store.takeDue(lane, { deliveriesMax, perEndpointMax, rooms });
    if (due.length >= perEndpointMax) budget.sweptFull();
    this.endpointsSeen[lane] = Math.max(1, new Set(due.map(({ endpointId }) => endpointId)).size);
    await this.hand(hintsOf(due));
    return due.length;
  }

  private background(hints: readonly Hint[]): void {
    if (hints.length === 0) return;
    const work = this.hand(hints).finally(() => this.inFlight.delete(work));
    this.inFlight.add(work);
  }

  private async hand(hints: readonly Hint[]): Promise<void> {
    if (hints.length === 0) return;
    const deliveries = hints.reduce((sum, { deliveryIds }) => sum + deliveryIds.length, 0);
    try {
      await this.queue.add(hints);
      this.events.hinted(deliveries);
      for (const lane of LANES) {
        const ofLane = hints.filter((given) => given.lane === lane);
        this.budgets[lane].spent(
          ofLane.reduce((sum, { deliveryIds }) => sum + deliveryIds.length, 0),
          ofLane.length,
        );
      }
    } catch (error) {
      this.events.hintsFailed(deliveries, error);
      for (const lane of new Set(hints.map((given) => given.lane))) this.budgets[lane].isAway();
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
/**
 * A sweep marks in one short transaction; what it leaves is taken by the next, soon after. Suspects go one
 * at a time.
 */
const SWEEP_MAX_OF_LANE: Readonly<Record<Lane, number>> = { fast: 1_000, slow: 500, suspect: 1 };
