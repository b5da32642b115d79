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
  /** Sends a batch off; gives the time at which it is done. */
  readonly start: (batch: Fifo<Item>, nowMs: number) => number;
  readonly end: (batch: Fifo<Item>, nowMs: number) => void;
}

/** `libs/pipeline/src/micro-batch.ts` in simulated time: what comes during a run is taken together by the next. */
export class BatchLine<Item extends Batched<Item>> {
  private readonly waiting = new Fifo<Item>();
  private runs = 0;
  private isWaking = false;

  constructor(
    private readonly agenda: Agenda,
    private readonly options: BatchLineOptions<Item>,
  ) {}

  /** @param readyMs not before that of the one before */
  add(item: Item, readyMs: number): void {
    item.readyMs = readyMs;
    this.waiting.push(item);
    this.wakeLater(readyMs);
  }

  private wakeLater(atMs: number): void {
    if (this.isWaking || this.runs >= this.options.runsMax) return;
    this.isWaking = true;
    this.agenda.at(atMs, this.wake, null);
  }

  private readonly wake = (_: null, nowMs: number): void => {
    this.isWaking = false;
    const batch = new Fifo<Item>();
    for (
      let next = this.waiting.first;
      next !== null && next.readyMs <= nowMs && batch.size < this.options.itemsMax;
      next = this.waiting.first
    ) {
      batch.push(this.waiting.shift() as Item);
    }
    this.runs++;
    this.agenda.at(this.options.start(batch, nowMs), this.done, batch);
    this.wakeForNext(nowMs);
  };

  private readonly done = (batch: Fifo<Item>, nowMs: number): void => {
    this.runs--;
    this.options.end(batch, nowMs);
    this.wakeForNext(nowMs);
  };

  private wakeForNext(nowMs: number): void {
    const next = this.waiting.first;
    if (next !== null) this.wakeLater(Math.max(nowMs, next.readyMs));
  }
}
