import type { Agenda } from './agenda.js';
import type { Delivery } from './delivery.js';
import { Fifo, type Linked } from './fifo.js';
import type { Lane } from './gate.js';
import { PIPELINE } from './parameters.js';
import type { Random } from './random.js';
import type { Servers } from './servers.js';
import type { Worker } from './worker.js';

/** Deliveries of one commit on their way to a worker, and the job that it has with them until the last is settled. */
export class Hint implements Linked<Hint> {
  next: Hint | null = null;
  readonly deliveries = new Fifo<Delivery>();
  unfinished = 0;

  constructor(readonly lane: Lane) {}
}

/** The hints of one shard: what BullMQ does on a Redis of one thread. */
export class HintQueue {
  private readonly waitingHints = { fast: new Fifo<Hint>(), slow: new Fifo<Hint>() };
  private readonly waitingDeliveries = { fast: 0, slow: 0 };
  workers: readonly Worker[] = [];

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
        delivery.hint = hint;
        hint.deliveries.push(delivery);
      }
      hint.unfinished = hint.deliveries.size;
      const addedMs = this.redis.serve(nowMs, this.costs.hintMs);
      this.agenda.at(addedMs + this.costs.tripMs, this.added, hint);
    }
  }

  /** A worker may take one more of a lane. */
  pull(worker: Worker, lane: Lane, nowMs: number): void {
    const hint = this.waitingHints[lane].shift();
    if (hint === null) return;
    this.waitingDeliveries[lane] -= hint.deliveries.size;
    worker.take(hint, nowMs);
  }

  private readonly added = (hint: Hint, nowMs: number): void => {
    const { lane } = hint;
    this.waitingHints[lane].push(hint);
    this.waitingDeliveries[lane] += hint.deliveries.size;
    const worker = this.anyWorker(lane);
    if (worker !== null) this.pull(worker, lane, nowMs);
  };

  /** Of two workers at random the one with less to do, because it asks first; null: none may take more jobs. */
  private anyWorker(lane: Lane): Worker | null {
    const { workers } = this;
    const one = workers[this.random.below(workers.length)] as Worker;
    const other = workers[this.random.below(workers.length)] as Worker;
    if (one.mayTake(lane) && other.mayTake(lane)) return one.cpuFreeAtMs < other.cpuFreeAtMs ? one : other;
    if (one.mayTake(lane)) return one;
    if (other.mayTake(lane)) return other;
    return workers.find((worker) => worker.mayTake(lane)) ?? null;
  }
}
