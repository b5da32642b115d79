import type { Hint, HintQueue } from '#pipeline/hint-queue.js';

/**
 * The fake of the queue's port: keeps hints in memory and hands each to whoever listens when its delay is over. Like
 * the real ones it may be told to lose or refuse hints.
 */
export class DirectHintQueue implements HintQueue {
  readonly added: Hint[] = [];
  mode: 'deliver' | 'lose' | 'refuse' = 'deliver';
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly ids = new Set<string>();
  private listener: (hint: Hint) => Promise<unknown> = () => Promise.resolve();

  /** @param listener what a worker does with a hint; its rejections are the listener's own affair */
  listen(listener: (hint: Hint) => Promise<unknown>): void {
    this.listener = listener;
  }

  add(hints: readonly Hint[]): Promise<void> {
    if (this.mode === 'refuse') return Promise.reject(new Error('the queue is away'));
    for (const hint of hints) {
      this.added.push(hint);
      const id = `${hint.deliveryIds[0]}-${hint.hintNumber}`;
      // As BullMQ does, so that a hint number that was used twice shows.
      if (this.mode === 'lose' || this.ids.has(id)) continue;
      this.ids.add(id);
      const timer = setTimeout(() => {
        this.timers.delete(timer);
        this.listener(hint).catch(() => undefined);
      }, hint.delayMs);
      this.timers.add(timer);
    }
    return Promise.resolve();
  }

  /** It hands hints on as they come, so none ever waits. */
  waiting(): Promise<number> {
    return this.mode === 'refuse' ? Promise.reject(new Error('the queue is away')) : Promise.resolve(0);
  }

  close(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
  }
}
