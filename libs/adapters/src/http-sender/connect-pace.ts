/**
 * Spreads the opening of connections over turns of the event loop. Opening one takes several times the CPU of a request
 * on an open one; a hundred in one turn, after as many receivers hung until their deadline, would keep every answer and
 * every request of other endpoints waiting for tens of milliseconds.
 */
export class ConnectPace {
  #left = CONNECTS_PER_TURN_MAX;
  #isScheduled = false;
  readonly #waiting: (() => void)[] = [];

  /** Resolves when a connection may be opened, first come, first served. */
  async turn(): Promise<void> {
    this.#schedule();
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const next = this.#waiting.splice(0, CONNECTS_PER_TURN_MAX);
      this.#left = CONNECTS_PER_TURN_MAX - next.length;
      for (const resolve of next) resolve();
      if (next.length > 0) this.#schedule();
    });
  }
}

/** A millisecond or two of one turn. */
export const CONNECTS_PER_TURN_MAX = 4;
