import { SendError } from './send-error.js';

/** Node's timers take at most a signed 32-bit number of milliseconds, and fire at once when given more. */
const TIMER_DELAY_MS_MAX = 2_147_483_647;

/**
 * The one absolute deadline of one send, over whatever step is under way. One timer serves the whole send, and it
 * is not kept alive by progress: drips, floods of 1xx answers and slow handshakes all end at the same instant.
 */
export class Deadline {
  /** What the send is waiting for, for the message of the timeout. */
  waitingFor = 'its turn';
  readonly #timer: NodeJS.Timeout;
  #expired: boolean;
  #end: (() => void) | null = null;

  /** @param deadlineMs on the clock of `performance.now()`. */
  constructor(deadlineMs: number) {
    const leftMs = Math.ceil(deadlineMs - performance.now());
    this.#expired = leftMs <= 0;
    this.#timer = setTimeout(
      () => {
        this.#expired = true;
        this.#end?.();
      },
      Math.min(Math.max(leftMs, 0), TIMER_DELAY_MS_MAX),
    );
  }

  /**
   * Runs one step. `start` begins it and returns how to tear it down; when the deadline comes first, the step is
   * torn down and the promise rejects with a `timeout`. One step at a time.
   */
  async run<T>(
    waitingFor: string,
    start: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<T> {
    this.waitingFor = waitingFor;
    if (this.#expired) throw this.#error();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const tearDown = start(resolve, reject);
    this.#end = () => {
      reject(this.#error());
      tearDown();
    };
    try {
      return await promise;
    } finally {
      this.#end = null;
    }
  }

  /** To be called when the send is over. */
  clear(): void {
    clearTimeout(this.#timer);
  }

  #error(): SendError {
    return new SendError(
      'timeout',
      'deadline_exceeded',
      `the deadline passed while waiting for ${this.waitingFor}`,
    );
  }
}
