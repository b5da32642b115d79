import type { HintQueue, Lane } from './hint-queue.js';

/**
 * How many deliveries may be hinted now, so that a backlog waits in PostgreSQL and not in the queue. Every path asks
 * it. The bound aims at about a second of what the workers drain: it grows while they empty the queue faster than it
 * is filled, and shrinks while they leave half of it. Each process has its own belief of what waits, asked of the queue
 * a few times a second, so together they may go past the bound by what they add between two looks.
 */
export class HintBudget {
  private bound = BOUND_START;
  private room = BOUND_START;
  private lookedAtMs = -Infinity;
  private awayUntilMs = -Infinity;
  private look: Promise<void> | null = null;
  private deliveriesPerHint = 1;
  /** Whether somebody had more to hint, since the last look, than there was room or a share for. */
  private wasShort = false;
  private windowStartedMs = -Infinity;
  private readonly givenByEndpoint = new Map<string, number>();
  private readonly givenByMerchant = new Map<string, number>();

  constructor(
    private readonly queue: Pick<HintQueue, 'waiting'>,
    private readonly lane: Lane,
    private readonly monotonicMs: () => number,
  ) {}

  /**
   * Takes a place for one delivery; false: leave it to the sweep. Never waits: what is known is what was seen at the last
   * look.
   */
  take(endpointId: string, merchantId: string): boolean {
    const nowMs = this.monotonicMs();
    this.refresh(nowMs);
    if (nowMs < this.awayUntilMs) return false;
    if (this.room <= 0) return this.refuse();
    if (nowMs - this.windowStartedMs > SHARE_WINDOW_MS) {
      this.windowStartedMs = nowMs;
      this.givenByEndpoint.clear();
      this.givenByMerchant.clear();
    }
    const ofEndpoint = this.givenByEndpoint.get(endpointId) ?? 0;
    const ofMerchant = this.givenByMerchant.get(merchantId) ?? 0;
    if (ofEndpoint >= this.perEndpointMax || ofMerchant >= this.bound * MERCHANT_SHARE) return this.refuse();
    this.givenByEndpoint.set(endpointId, ofEndpoint + 1);
    this.givenByMerchant.set(merchantId, ofMerchant + 1);
    this.room--;
    return true;
  }

  /** Looks at the queue, if that was not done just now, and resolves with the room that there is. */
  async available(): Promise<number> {
    const nowMs = this.monotonicMs();
    this.refresh(nowMs);
    await this.look;
    return nowMs < this.awayUntilMs ? 0 : Math.max(0, this.room);
  }

  /** Of one endpoint, at most this many in the queue at a time. */
  get perEndpointMax(): number {
    return Math.floor(this.bound * ENDPOINT_SHARE);
  }

  /** Tells what was hinted without asking: sweeps ask once for all. */
  spent(deliveries: number, hints: number): void {
    if (hints === 0) return;
    this.deliveriesPerHint += (deliveries / hints - this.deliveriesPerHint) * AVERAGE_WEIGHT;
  }

  /** A sweep took all that it might: there may be more. */
  sweptFull(): void {
    this.wasShort = true;
  }

  /** The queue took nothing: for a moment nobody tries, so that a dead queue costs no time and no memory. */
  isAway(): void {
    this.awayUntilMs = this.monotonicMs() + AWAY_MS;
  }

  private refuse(): false {
    this.wasShort = true;
    return false;
  }

  private refresh(nowMs: number): void {
    if (this.look !== null || nowMs - this.lookedAtMs < LOOK_EVERY_MS) return;
    this.lookedAtMs = nowMs;
    this.look = this.queue.waiting(this.lane).then(
      (hints) => {
        this.look = null;
        const waiting = hints * this.deliveriesPerHint;
        if (waiting < this.bound / 10 && this.wasShort) this.bound = Math.min(this.bound * 1.5, BOUND_MAX);
        else if (waiting > this.bound / 2) this.bound = Math.max(this.bound * 0.9, BOUND_MIN);
        this.wasShort = false;
        this.room = Math.floor(this.bound - waiting);
      },
      () => {
        this.look = null;
        this.isAway();
      },
    );
  }
}

/** A fraction of a second of one busy worker; below it workers would run dry between two looks. */
const BOUND_MIN = 500;
/** About a second of several workers, and some megabytes of Redis. */
const BOUND_MAX = 5_000;
const BOUND_START = 1_000;
/** One endpoint's part of the queue, so that a backlog of one cannot starve the rest. */
const ENDPOINT_SHARE = 0.25;
/** One merchant's part, so that the next one's hints have little to wait behind, however many endpoints it has. */
const MERCHANT_SHARE = 0.5;
/** What one endpoint or merchant was given is forgotten after about the time in which the queue is drained. */
const SHARE_WINDOW_MS = 1_000;
/** Often enough that the room is never far off, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 200;
/** How long a queue that failed is left alone. */
const AWAY_MS = 1_000;
/** The last twenty or so hints decide what a hint holds on average. */
const AVERAGE_WEIGHT = 0.05;

/** A budget for each lane of a queue. */
export function hintBudgets(
  queue: Pick<HintQueue, 'waiting'>,
  monotonicMs: () => number,
): Readonly<Record<Lane, HintBudget>> {
  return {
    fast: new HintBudget(queue, 'fast', monotonicMs),
    slow: new HintBudget(queue, 'slow', monotonicMs),
    suspect: new HintBudget(queue, 'suspect', monotonicMs),
  };
}
