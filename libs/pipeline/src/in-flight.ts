import type { Claimed } from './delivery-store.js';
import type { Lane } from './hint-queue.js';
import { Slots } from './slots.js';
import type { Room, Rooms } from './rooms.js';

/** One attempt that a worker has in hand. */
export interface InFlightAttempt {
  readonly claim: Pick<Claimed, 'endpointId' | 'merchantId'>;
  /** When the request set out; null before, and once there is an answer: what we take ourselves makes nobody slow. */
  sentMs: number | null;
  isAnswered: boolean;
  /** The lane whose slot it holds; an attempt that turns out slow moves from `fast` to `slow`. */
  lane: Lane;
}

/**
 * What one worker has in hand, and who may have more of it. A slow attempt costs memory and no time, so once an attempt
 * has taken over a second its slot goes back to the fast lane and it counts as slow: however many endpoints hang, the
 * fast lane is itself again a second later.
 */
export class InFlight {
  readonly slots: Readonly<Record<Lane, Slots>> = {
    fast: new Slots(FAST_SLOTS),
    slow: new Slots(SLOW_SLOTS),
    suspect: new Slots(1),
  };
  private readonly attempts = new Set<InFlightAttempt>();
  private readonly byEndpoint = new Map<string, number>();
  private readonly byMerchant = new Map<string, number>();
  /** What has ended since the last look for more, by endpoint and merchant. */
  private endedByEndpoint = new Map<string, number>();
  private endedByMerchant = new Map<string, number>();

  constructor(private readonly monotonicMs: () => number) {}

  get size(): number {
    return this.attempts.size;
  }

  begin(claim: Pick<Claimed, 'endpointId' | 'merchantId'>, lane: Lane): InFlightAttempt {
    const attempt: InFlightAttempt = { claim, lane, sentMs: null, isAnswered: false };
    this.attempts.add(attempt);
    count(this.byEndpoint, claim.endpointId, 1);
    count(this.byMerchant, claim.merchantId, 1);
    return attempt;
  }

  /** The request sets out. */
  sent(attempt: InFlightAttempt): void {
    attempt.sentMs = this.monotonicMs();
  }

  /**
   * There is an answer, or there will be none. From here on it is our own work and not its receiver's: it keeps its slot
   * until it is settled, but no more of its endpoint's and its merchant's share.
   */
  answered(attempt: InFlightAttempt): void {
    attempt.sentMs = null;
    if (attempt.isAnswered) return;
    attempt.isAnswered = true;
    count(this.byEndpoint, attempt.claim.endpointId, -1);
    count(this.byMerchant, attempt.claim.merchantId, -1);
    count(this.endedByEndpoint, attempt.claim.endpointId, 1);
    count(this.endedByMerchant, attempt.claim.merchantId, 1);
  }

  /** Gives its slot back, to the lane that it is counted in by now. */
  end(attempt: InFlightAttempt): void {
    this.answered(attempt);
    this.attempts.delete(attempt);
    this.slots[attempt.lane].give(1);
  }

  /** How many more of each endpoint and merchant this worker takes now. */
  rooms(lane: Lane): Rooms {
    const { total, available } = this.slots[lane];
    const ofEndpoint = lane === 'suspect' ? 1 : Math.floor(total * ENDPOINT_SHARE);
    // Alone or not, a merchant leaves half of the lane to whoever comes next; while others wait, three quarters.
    const isContended = available < total / 2 && this.byMerchant.size > 1;
    const ofMerchant = Math.max(1, Math.floor(total * (isContended ? MERCHANT_SHARE : MERCHANT_SHARE_ALONE)));
    return {
      perEndpoint: ofEndpoint,
      endpoints: left(this.byEndpoint, ofEndpoint),
      perMerchant: ofMerchant,
      merchants: left(this.byMerchant, ofMerchant),
    };
  }

  /**
   * How many of each endpoint and merchant are worth hinting until the next look: what there is room for, and twice what
   * has ended since the last. So what hangs is not hinted only to be refused, and what is quick is never short of hints.
   */
  roomsAhead(): Readonly<Record<Lane, Rooms>> & { readonly isMoving: boolean } {
    const endpoints = this.endedByEndpoint;
    const merchants = this.endedByMerchant;
    this.endedByEndpoint = new Map();
    this.endedByMerchant = new Map();
    const ahead = (lane: Lane): Rooms => {
      const rooms = this.rooms(lane);
      return {
        ...rooms,
        endpoints: withTurnover(rooms.endpoints, endpoints, rooms.perEndpoint),
        merchants: withTurnover(rooms.merchants, merchants, rooms.perMerchant),
      };
    };
    const isMoving = endpoints.size > 0;
    return { fast: ahead('fast'), slow: ahead('slow'), suspect: this.rooms('suspect'), isMoving };
  }

  /** Moves attempts that have become slow to the slow lane's account. Returns their endpoints, each once. */
  moveSlow(): string[] {
    const sinceMs = this.monotonicMs() - SLOW_AFTER_MS;
    const endpoints = new Set<string>();
    for (const attempt of this.attempts) {
      if (attempt.lane !== 'fast' || attempt.sentMs === null || attempt.sentMs > sinceMs) continue;
      attempt.lane = 'slow';
      this.slots.slow.force(1);
      this.slots.fast.give(1);
      endpoints.add(attempt.claim.endpointId);
    }
    return [...endpoints];
  }
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const next = (counts.get(key) ?? 0) + change;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}

function withTurnover(
  rooms: readonly Room[],
  ended: ReadonlyMap<string, number>,
  roomOfOthers: number,
): Room[] {
  const ahead = new Map(rooms.map(({ id, room }) => [id, room]));
  for (const [id, count] of ended) ahead.set(id, (ahead.get(id) ?? roomOfOthers) + TURNOVER_FACTOR * count);
  return Array.from(ahead, ([id, room]) => ({ id, room }));
}

function left(counts: ReadonlyMap<string, number>, max: number): Room[] {
  return Array.from(counts, ([id, inHand]) => ({ id, room: Math.max(0, max - inHand) }));
}

/**
 * Deliveries of quick endpoints that one worker has in hand at once. At some 100 KB for one that is being sent, that is
 * 50 MB; at a receiver's typical 100 ms it is 5,000 a second, more than one process can sign and log.
 */
export const FAST_SLOTS = 512;
/** Slow ones together get at most half as much: they wait for their receivers, not for us. */
export const SLOW_SLOTS = FAST_SLOTS / 2;
/** One endpoint never has more than this of a lane of one worker, so that its first bad second costs the others little. */
const ENDPOINT_SHARE = 1 / 8;
/** One merchant never has more than this of a lane while others wait for it. */
const MERCHANT_SHARE = 1 / 4;
/**
 * More than this it never has: with the whole lane, endpoints of one merchant that all began to hang would keep the next
 * merchant waiting until they are known as slow, a second later.
 */
const MERCHANT_SHARE_ALONE = 1 / 2;
/** Lets a drain grow from one look to the next. */
const TURNOVER_FACTOR = 2;
/** What takes longer is slow: ten times what receivers usually take. */
export const SLOW_AFTER_MS = 1_000;
