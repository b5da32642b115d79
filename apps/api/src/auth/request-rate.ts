import { BURST_SECONDS, type RequestBuckets } from '#pipeline/request-buckets.js';

export type Admission =
  | { readonly kind: 'allowed' | 'refused'; readonly remaining: number; readonly retrySeconds: number }
  /** The store of the buckets is away. `cause` is null where it was not asked, because it was away a moment ago. */
  | { readonly kind: 'unchecked'; readonly cause: unknown };

/**
 * The store answers in a millisecond or two. Much less than this, and an API that is merely busy would take its own lag for
 * the store's, and drop the rate just when it is needed.
 */
const ANSWER_TIMEOUT_MS = 1_000;
/** While the store is away, one request in this time finds out whether it is back. The others do not wait. */
const ASK_AGAIN_MS = 1_000;
/** Keys that are over their rate at one time; a forgotten one is refused by the store instead. */
const REFUSED_KEYS_MAX = 10_000;

class StoreTimeout extends Error {
  override readonly name = 'StoreTimeout';
}

/**
 * Asks the shared buckets, and never longer than a moment: when they are away, requests go on. A key that is over its
 * rate is remembered until its bucket has something again, so that who hammers costs the store nothing.
 */
export class RequestRate {
  readonly #refusedUntilMs = new Map<string, number>();
  #askAgainMs = -Infinity;

  constructor(
    private readonly buckets: RequestBuckets,
    readonly perSecond: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** @param keyId UUID of a merchant's key */
  async admit(keyId: string): Promise<Admission> {
    const nowMs = this.nowMs();
    const refusedMs = (this.#refusedUntilMs.get(keyId) ?? -Infinity) - nowMs;
    if (refusedMs > 0) return refused(refusedMs);
    this.#refusedUntilMs.delete(keyId);
    if (nowMs < this.#askAgainMs) return { kind: 'unchecked', cause: null };
    // Set when it was away: this request asks, and those beside it do not.
    if (this.#askAgainMs !== -Infinity) this.#askAgainMs = nowMs + ASK_AGAIN_MS;
    try {
      const answer = await withinTime(this.buckets.take(keyId));
      this.#askAgainMs = -Infinity;
      if (answer.allowed) return { kind: 'allowed', remaining: answer.remaining, retrySeconds: 0 };
      this.#rememberRefused(keyId, this.nowMs() + answer.retryMs);
      return refused(answer.retryMs);
    } catch (cause) {
      this.#askAgainMs = this.nowMs() + ASK_AGAIN_MS;
      return { kind: 'unchecked', cause };
    }
  }

  /** How many requests a full bucket holds. */
  get burst(): number {
    return this.perSecond * BURST_SECONDS;
  }

  #rememberRefused(keyId: string, untilMs: number): void {
    if (this.#refusedUntilMs.size >= REFUSED_KEYS_MAX) this.#refusedUntilMs.clear();
    this.#refusedUntilMs.set(keyId, untilMs);
  }
}

function refused(retryMs: number): Admission {
  return { kind: 'refused', remaining: 0, retrySeconds: Math.max(1, Math.ceil(retryMs / 1_000)) };
}

async function withinTime<Answer>(answer: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // An answer that arrived while the event loop was busy is read first.
      setImmediate(() => {
        reject(new StoreTimeout(`the store of request rates did not answer within ${ANSWER_TIMEOUT_MS} ms`));
      });
    }, ANSWER_TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
