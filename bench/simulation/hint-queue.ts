import type { Agenda } from './agenda.js';
import { type Delivery, Hint } from './delivery.js';
import { Fifo } from './fifo.js';
import type { Lane } from './gate.js';
import { PIPELINE } from './parameters.js';
import type { Random } from './random.js';
import type { Servers } from './servers.js';

/** A worker, as the queue sees it. */
interface HintTaker {
  /** When its thread has done what it was given so far. */
  readonly cpuFreeAtMs: number;
  mayTake(lane: Lane): boolean;
  take(hint: Hint, nowMs: number): void;
}

/** The hints of one shard: what BullMQ does on a Redis of one thread. */
export class HintQueue {
  private readonly waitingHints = { fast: new Fifo<Hint>(), slow: new Fifo<Hint>() };
  private readonly waitingDeliveries = { fast: 0, slow: 0 };
  takers: readonly HintTaker[] = [];

  constructor(
    private readonly agenda: Agenda,
    private readonly random: Random,
    private readonly redis: Servers,
    private readonly costs: { readonly hintMs: number; readonly tripMs: number },
  ) {}

  /** Deliveries that wait in a lane. */
  readonly waiting = (lane: Lane): number => this.waitingDeliveries[lane];

  /** Makes hints of deliveries, and adds them. The list is empty after it. */
  add(lane: Lane, deliveries: Fifo<Delivery>, nowMs: number): void {
    while (deliveries.size > 0) {
      const hint = new Hint(lane);
      while (hint.deliveries.size < PIPELINE.hintDeliveriesMax && deliveries.size > 0) {
        const delivery = deliveries.shift() as Delivery;
        delivery.hintSecond = delivery.gate.hintedAt(nowMs);
        hint.deliveries.push(delivery);
      }
      const addedMs = this.redis.serve(nowMs, this.costs.hintMs);
      this.agenda.at(addedMs + this.costs.tripMs, this.added, hint);
    }
  }

  /** For a worker that may take one more of a lane; null: there is none. */
  next(lane: Lane): Hint | null {
    const hint = this.waitingHints[lane].shift();
    if (hint !== null) this.waitingDeliveries[lane] -= hint.deliveries.size;
    return hint;
  }

  private readonly added = (hint: Hint, nowMs: number): void => {
    const { lane } = hint;
    this.waitingHints[lane].push(hint);
    this.waitingDeliveries[lane] += hint.deliveries.size;
    const taker = this.anyTaker(lane);
    if (taker === null) return;
    const first = this.next(lane);
    if (first !== null) taker.take(first, nowMs);
  };

  /** Of two workers at random the one with less to do, because it asks first; null: none may take more jobs. */
  private anyTaker(lane: Lane): HintTaker | null {
    const { takers } = this;
    const one = takers[this.random.below(takers.length)] as HintTaker;
    const other = takers[this.random.below(takers.length)] as HintTaker;
    if (one.mayTake(lane) && other.mayTake(lane)) return one.cpuFreeAtMs < other.cpuFreeAtMs ? one : other;
    if (one.mayTake(lane)) return one;
    if (other.mayTake(lane)) return other;
    return takers.find((taker) => taker.mayTake(lane)) ?? null;
  }
}
