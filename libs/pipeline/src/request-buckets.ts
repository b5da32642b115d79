/**
 * One token bucket a key, shared by all processes: it holds ten seconds' worth of the rate, is full at first, and fills up
 * at the rate.
 */
export interface RequestBuckets {
  /**
   * Takes one request out of a key's bucket.
   *
   * @param keyId UUID of an API key
   * @throws when the store is away; what was taken then is not known
   */
  take(keyId: string): Promise<BucketAnswer>;
}

export interface BucketAnswer {
  readonly allowed: boolean;
  /** Whole requests that are left after this one. */
  readonly remaining: number;
  /** When refused: until there is one again. */
  readonly retryMs: number;
}

/** How many seconds' worth of the rate may come at once. */
export const BURST_SECONDS = 10;
