export interface MicroBatchOptions<Item, Result> {
  /** Handles the items of one batch; the results stand in the order of the items. */
  readonly run: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly itemsMax: number;
  /** How many batches may be under way at once. */
  readonly runsMax: number;
  /**
   * While many items come, batches begin at least so far apart, unless one is full: what a batch costs by itself is then
   * shared by more items. What comes alone never waits for it. 0 when left out.
   */
  readonly gatherMs?: number;
  /** An item's share of {@link weightMax}, for batches that are bounded by bytes. 1 when left out. */
  readonly weigh?: (item: Item) => number;
  readonly weightMax?: number;
  /**
   * Whether an error is the doing of one item's own data. Such a batch is halved until the culprit fails alone;
   * after any other error every item of the batch fails with it.
   */
  readonly isItemsFault?: (error: unknown) => boolean;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly weight: number;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/**
 * Turns many small calls into few large ones: an item that comes while nothing is under way runs at the end of this turn of
 * the event loop, and items that come during a run are taken together by the next one. So an idle system adds no wait, and
 * a busy one fills its batches by itself, the more so with `gatherMs`.
 */
export class MicroBatch<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private runs = 0;
  private scheduled = false;
  /** When the last batch of several items began. */
  private gatheringSinceMs = -Infinity;
  private gathering: NodeJS.Timeout | null = null;
  private idle: { promise: Promise<void>; resolve: () => void } | null = null;

  constructor(private readonly options: MicroBatchOptions<Item, Result>) {}

  /** Resolves with the item's own result once the batch that took it is done. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, weight: this.options.weigh?.(item) ?? 1, resolve, reject });
      this.schedule();
    });
  }

  /** Resolves once nothing waits and nothing runs. */
  async drained(): Promise<void> {
    if (this.waiting.length === 0 && this.runs === 0) return;
    this.idle ??= Promise.withResolvers<void>();
    await this.idle.promise;
  }

  private schedule(): void {
    if (this.scheduled || this.runs >= this.options.runsMax) return;
    if (this.gathering !== null && this.waiting.length < this.options.itemsMax) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.startWaiting();
    });
  }

  private startWaiting(): void {
    while (this.waiting.length > 0 && this.runs < this.options.runsMax) {
      if (this.mustGather()) return;
      this.start(this.take());
    }
  }

  /** Whether the next batch is to wait; it is started then when its time has come. */
  private mustGather(): boolean {
    const { gatherMs = 0, itemsMax } = this.options;
    if (gatherMs === 0 || this.waiting.length >= itemsMax) return false;
    if (this.gathering !== null) return true;
    const restMs = this.gatheringSinceMs + gatherMs - performance.now();
    if (restMs < 1) return false;
    this.gathering = setTimeout(() => {
      this.gathering = null;
      this.startWaiting();
    }, restMs);
    return true;
  }

  /** The next batch: at least one item, however heavy it is. */
  private take(): Waiting<Item, Result>[] {
    const { itemsMax, weightMax = Infinity } = this.options;
    let count = 0;
    let weight = 0;
    for (const next of this.waiting) {
      if (count === itemsMax || (count > 0 && weight + next.weight > weightMax)) break;
      count++;
      weight += next.weight;
    }
    if (count === this.waiting.length) {
      const all = this.waiting;
      this.waiting = [];
      return all;
    }
    return this.waiting.splice(0, count);
  }

  private start(batch: Waiting<Item, Result>[]): void {
    this.runs++;
    if (batch.length > 1) this.gatheringSinceMs = performance.now();
    void this.run(batch).finally(() => {
      this.runs--;
      this.startWaiting();
      if (this.runs === 0) {
        this.idle?.resolve();
        this.idle = null;
      }
    });
  }

  private async run(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.options.run(batch.map((waiting) => waiting.item));
      if (results.length !== batch.length) {
        throw new Error(`a batch of ${batch.length} items gave ${results.length} results`);
      }
      for (const [index, waiting] of batch.entries()) waiting.resolve(results[index] as Result);
    } catch (error) {
      if (batch.length > 1 && this.options.isItemsFault?.(error) === true) {
        const half = batch.length >> 1;
        await this.run(batch.slice(0, half));
        await this.run(batch.slice(half));
        return;
      }
      for (const waiting of batch) waiting.reject(error);
    }
  }
}
