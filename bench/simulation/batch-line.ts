import type { Agenda } from './agenda.js';
import { Fifo, type Linked } from './fifo.js';

export interface Batched<Item> extends Linked<Item> {
  /** From when on a batch may take it. */
  readyMs: number;
}

interface BatchLineOptions<Item extends Batched<Item>> {
  readonly itemsMax: number;
  /** How many batches may be under way at once. */
  readonly runsMax: number;
  /** After a batch of several, the next begins at least so much later, unless it is full. 0 when left out. */
  readonly gatherMs?: number;
  /** Sends a batch off; `done` is to be told once when it is done, now or later. */
  readonly start: (batch: Fifo<Item>, nowMs: number, done: (atMs: number) => void) => void;
  readonly end: (batch: Fifo<Item>, nowMs: number) => void;
}

/** Node.js has no timers below this, so a batch that would wait for less begins at once. */
const TIMER_MS_MIN = 1;

/** `libs/pipeline/src/micro-batch.ts` in simulated time: what comes during a run, or is gathered, is taken together by the next. */
export class BatchLine<Item extends Batched<Item>> {
  private readonly waiting = new Fifo<Item>();
  private readonly gatherMs: number;
  private runs = 0;
  private gatheringSinceMs = -Infinity;
  /** When the next batch begins; Infinity: nothing has been noted. What was noted before it was moved is passed over. */
  private wakeAtMs = Infinity;

  constructor(
    private readonly agenda: Agenda,
    private readonly options: BatchLineOptions<Item>,
  ) {
    this.gatherMs = options.gatherMs ?? 0;
  }

  /** @param readyMs not before that of the one before */
  add(item: Item, readyMs: number): void {
    item.readyMs = readyMs;
    this.waiting.push(item);
    if (this.wakeAtMs === Infinity || this.waiting.size === this.options.itemsMax) this.plan(readyMs);
  }

  private plan(fromMs: number): void {
    const { first } = this.waiting;
    if (first === null || this.runs >= this.options.runsMax) return;
    const atMs = this.gathered(Math.max(fromMs, first.readyMs));
    if (atMs >= this.wakeAtMs) return;
    this.wakeAtMs = atMs;
    this.agenda.at(atMs, this.wake, null);
  }

  /** When a batch that could begin at `atMs` does. */
  private gathered(atMs: number): number {
    const untilMs = this.gatheringSinceMs + this.gatherMs;
    if (untilMs - atMs < TIMER_MS_MIN) return atMs;
    return Math.min(untilMs, Math.max(atMs, this.fullMs()));
  }

  /** When as many as a batch holds are ready. */
  private fullMs(): number {
    const { itemsMax } = this.options;
    if (this.waiting.size < itemsMax) return Infinity;
    let item = this.waiting.first;
    for (let count = 1; count < itemsMax && item !== null; count++) item = item.next;
    return item?.readyMs ?? Infinity;
  }

  private readonly wake = (_: null, nowMs: number): void => {
    if (nowMs !== this.wakeAtMs) return;
    this.wakeAtMs = Infinity;
    const batch = new Fifo<Item>();
    for (
      let next = this.waiting.first;
      next !== null && next.readyMs <= nowMs && batch.size < this.options.itemsMax;
      next = this.waiting.first
    ) {
      batch.push(this.waiting.shift() as Item);
    }
    this.runs++;
    if (batch.size > 1) this.gatheringSinceMs = nowMs;
    this.options.start(batch, nowMs, (atMs) => this.agenda.at(atMs, this.done, batch));
    this.plan(nowMs);
  };

  private readonly done = (batch: Fifo<Item>, nowMs: number): void => {
    this.runs--;
    this.options.end(batch, nowMs);
    this.plan(nowMs);
  };
}
