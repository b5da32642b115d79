import { BREAKER } from '#domain/breaker.js';
import { AMENDED, SLOW_AFTER } from './parameters.js';
import type { Kind } from './population.js';

/** Lanes that the simulation has; suspects end their workers, and nobody does here. */
export type Lane = 'fast' | 'slow';
export const LANES: readonly Lane[] = ['fast', 'slow'];

/**
 * How merchants are kept apart. `none`: one line for all, first come, first served. `built`: as the code does it. `amended`: the
 * same, but that a merchant's share of a lane counts what it has in that lane, that an endpoint is slow when a part of its
 * attempts is and not when one was, and that gates are locked for a moment only.
 */
export type Rules = 'none' | 'built' | 'amended';

/** The two seconds for which a hint counts as fresh in `take-due-deliveries.ts` are this one and the one before. */
const SECOND_MS = 1_000;
const COUNTS_OF_WORKER = 3;
const COUNTS_OF_API = 2;

/** A merchant or an endpoint, as each process that shares it out counts it. All in one array, for the processor's cache. */
class Shared {
  private readonly counts: Int32Array;
  private readonly apisFrom: number;

  constructor({ workers, apis }: Processes) {
    this.apisFrom = workers * COUNTS_OF_WORKER;
    this.counts = new Int32Array(this.apisFrom + apis * COUNTS_OF_API);
  }

  /** What a worker has in hand, in one lane or in both. */
  inHand(worker: number, lane: Lane | null): number {
    const at = worker * COUNTS_OF_WORKER;
    const fast = this.counts[at] as number;
    const slow = this.counts[at + 1] as number;
    return lane === null ? fast + slow : lane === 'fast' ? fast : slow;
  }

  addInHand(worker: number, lane: Lane, change: number): void {
    const at = worker * COUNTS_OF_WORKER + (lane === 'fast' ? 0 : 1);
    this.counts[at] = (this.counts[at] as number) + change;
  }

  /** What has ended since a worker's last sweep. */
  ended(worker: number): number {
    return this.counts[worker * COUNTS_OF_WORKER + 2] as number;
  }

  setEnded(worker: number, count: number): void {
    this.counts[worker * COUNTS_OF_WORKER + 2] = count;
  }

  /** What an API process has hinted in its window of that number. */
  hinted(api: number, window: number): number {
    const at = this.apisFrom + api * COUNTS_OF_API;
    return this.counts[at] === window ? (this.counts[at + 1] as number) : 0;
  }

  setHinted(api: number, window: number, count: number): void {
    const at = this.apisFrom + api * COUNTS_OF_API;
    this.counts[at] = window;
    this.counts[at + 1] = count;
  }
}

export interface Processes {
  readonly workers: number;
  readonly apis: number;
}

export class MerchantState extends Shared {
  /** First requests that were looked for within the time that is measured, how many set out in a second, and after how long. */
  events = 0;
  prompt = 0;
  delayMs = 0;

  constructor(
    readonly rank: number,
    readonly kind: Kind,
    readonly isBurster: boolean,
    processes: Processes,
  ) {
    super(processes);
  }
}

/** What a gate asks of an attempt that has ended. */
interface SettledAttempt {
  readonly sentMs: number;
  readonly durationMs: number;
  readonly isSuccess: boolean;
  readonly hasTurnedSlow: boolean;
}

/**
 * An endpoint and its row in `endpoint_gates`, as `gate-room.ts` and `settle-deliveries.ts` read and write it. What is
 * down here stays down for as long as is simulated, so a breaker never closes and nothing drains.
 */
export class Gate extends Shared {
  /** How many of its deliveries are not final. */
  open = 0;
  lane: Lane = 'fast';
  /** When the last statement that has locked its row is committed. */
  lockedUntilMs = 0;
  private laneUntilMs = 0;
  /** Of the latest attempts, the part that took over a second. */
  private slowShare = 0;
  private inFlight = 0;
  /** What is hinted and not claimed yet, by the second of the hint: this one's, and the one's before. */
  private hintSecond = 0;
  private hintsOfSecond = 0;
  private hintsOfSecondBefore = 0;
  private openedMs: number | null = null;
  private windowStartedMs: number | null = null;
  private windowAttempts = 0;
  private windowFailures = 0;
  private probeAtMs = 0;
  private probeWaitMs = 0;

  readonly eventsPerSecond: number;
  readonly medianMs: number;
  private readonly inFlightMax: number;

  constructor(
    readonly merchant: MerchantState,
    private readonly rules: Rules,
    of: {
      readonly eventsPerSecond: number;
      readonly medianMs: number;
      readonly inFlightMax: number;
    },
    processes: Processes,
  ) {
    super(processes);
    this.eventsPerSecond = of.eventsPerSecond;
    this.medianMs = of.medianMs;
    this.inFlightMax = of.inFlightMax;
  }

  get isBreakerOpen(): boolean {
    return this.openedMs !== null;
  }

  /** How many attempts may begin now. */
  room(nowMs: number): number {
    if (this.openedMs === null) return Math.max(0, this.inFlightMax - this.inFlight);
    return this.probeAtMs <= nowMs && this.inFlight <= 0 ? 1 : 0;
  }

  /** What was hinted a moment ago and not claimed yet: it has the first claim to the room. */
  freshHints(nowMs: number): number {
    this.forgetHints(nowMs);
    return this.hintsOfSecond + this.hintsOfSecondBefore;
  }

  /** One of its deliveries is hinted. @returns the second to give to {@link unhinted} */
  hintedAt(nowMs: number): number {
    this.forgetHints(nowMs);
    this.hintsOfSecond++;
    return this.hintSecond;
  }

  /** A hint of that second has led to a claim, or to nothing. */
  unhinted(second: number, nowMs: number): void {
    this.forgetHints(nowMs);
    if (second === this.hintSecond) this.hintsOfSecond--;
    else if (second === this.hintSecond - 1) this.hintsOfSecondBefore--;
  }

  claimed(nowMs: number): void {
    this.inFlight++;
    if (this.openedMs !== null) this.probeAtMs = nowMs + this.probeWaitMs;
  }

  /** One of its attempts has taken over a second. */
  sawSlow(nowMs: number): void {
    this.slowShare += (1 - this.slowShare) * AMENDED.slowWeight;
    if (this.rules === 'amended' && this.slowShare < AMENDED.slowShareMin) return;
    this.lane = 'slow';
    this.laneUntilMs = nowMs + SLOW_AFTER.laneMs;
  }

  /** An attempt of it has been settled. A failure here is always one that speaks for an outage. */
  settled(attempt: SettledAttempt, nowMs: number): void {
    this.inFlight--;
    if (attempt.durationMs > SLOW_AFTER.ms) {
      if (!attempt.hasTurnedSlow || this.rules === 'built') this.sawSlow(nowMs);
    } else {
      this.slowShare -= this.slowShare * AMENDED.slowWeight;
      if (this.laneUntilMs < nowMs) this.lane = 'fast';
    }
    if (this.openedMs === null) this.count(attempt.isSuccess, nowMs);
    // What was in flight when it opened says nothing new.
    else if (attempt.sentMs > this.openedMs) {
      this.probeWaitMs = Math.min(this.probeWaitMs * 2, BREAKER.probeWaitMsMax);
      this.probeAtMs = nowMs + this.probeWaitMs;
    }
  }

  private forgetHints(nowMs: number): void {
    const second = Math.floor(nowMs / SECOND_MS);
    if (second === this.hintSecond) return;
    this.hintsOfSecondBefore = second === this.hintSecond + 1 ? this.hintsOfSecond : 0;
    this.hintsOfSecond = 0;
    this.hintSecond = second;
  }

  private count(isSuccess: boolean, nowMs: number): void {
    if (this.windowStartedMs === null || this.windowStartedMs < nowMs - BREAKER.windowSeconds * 1_000) {
      this.windowStartedMs = nowMs;
      this.windowAttempts = 0;
      this.windowFailures = 0;
    }
    this.windowAttempts++;
    if (!isSuccess) this.windowFailures++;
    const isOver =
      this.windowAttempts >= BREAKER.attemptsMin &&
      this.windowFailures >= this.windowAttempts * BREAKER.failureShareMin &&
      this.windowStartedMs <= nowMs - BREAKER.windowSecondsMin * 1_000;
    if (!isOver) return;
    this.openedMs = nowMs;
    this.probeWaitMs = BREAKER.probeWaitMsMin;
    this.probeAtMs = nowMs + this.probeWaitMs;
  }
}
