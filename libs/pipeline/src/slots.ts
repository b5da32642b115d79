/** Bounds how many deliveries a lane has in hand. First come, first served, so that a large hint is not starved. */
export class Slots {
  private free: number;
  private readonly queue: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(readonly total: number) {
    this.free = total;
  }

  get inUse(): number {
    return this.total - this.free;
  }

  get available(): number {
    return this.queue.length > 0 ? 0 : Math.max(0, this.free);
  }

  /**
   * Resolves once so many are free, and takes them.
   * @throws RangeError when there are not so many in all
   */
  async take(count: number): Promise<void> {
    if (count > this.total) throw new RangeError(`${count} slots of ${this.total} can never be free`);
    if (this.queue.length === 0 && this.free >= count) {
      this.free -= count;
      return;
    }
    await new Promise<void>((resolve) => this.queue.push({ count, resolve }));
  }

  /** Takes slots that may not be there, for what is under way already: nobody else gets one until they are given back. */
  force(count: number): void {
    this.free -= count;
  }

  /** Lets everybody through who waits: there is nothing to bound any more. */
  openUp(): void {
    this.free = Infinity;
    this.give(0);
  }

  give(count: number): void {
    this.free += count;
    for (let next = this.queue[0]; next !== undefined && next.count <= this.free; next = this.queue[0]) {
      this.queue.shift();
      this.free -= next.count;
      next.resolve();
    }
  }
}
