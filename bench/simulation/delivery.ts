import type { Batched } from './batch-line.js';
import { Fifo, type Linked } from './fifo.js';
import type { Gate, Lane } from './gate.js';

/** A delivery from accept to its end. Used again for another one after that. */
export class Delivery implements Batched<Delivery> {
  next: Delivery | null = null;
  readyMs = 0;
  acceptedMs = 0;
  failures = 0;
  isOpen = true;
  /** Whether its first request has set out. */
  isSent = false;
  /** Of what a batch has decided, until it is done. */
  isHinted = false;
  isClaimed = false;
  /** When it was hinted, by its gate's account. */
  hintSecond = 0;
  /** Of the attempt that is under way. */
  sentMs = 0;
  durationMs = 0;
  isSuccess = false;
  /** Whether it was found to be slow while it was in flight. */
  hasTurnedSlow = false;
  /** Whose slot it holds. */
  lane: Lane = 'fast';

  constructor(public gate: Gate) {}
}

/** Deliveries of one commit on their way to a worker. */
export class Hint implements Linked<Hint> {
  next: Hint | null = null;
  readonly deliveries = new Fifo<Delivery>();

  constructor(readonly lane: Lane) {}
}

/** Makes deliveries, and keeps those that are done for others to come. */
export class DeliveryPool {
  readonly all: Delivery[] = [];
  private readonly free = new Fifo<Delivery>();

  take(gate: Gate, nowMs: number): Delivery {
    const used = this.free.shift();
    const delivery = used ?? new Delivery(gate);
    if (used === null) this.all.push(delivery);
    delivery.gate = gate;
    delivery.acceptedMs = nowMs;
    delivery.failures = 0;
    delivery.isOpen = true;
    delivery.isSent = false;
    delivery.lane = 'fast';
    return delivery;
  }

  give(delivery: Delivery): void {
    delivery.isOpen = false;
    this.free.push(delivery);
  }
}
