/** Steps between one power of two and the next: a bucket is at most an eighth of its own value wide. */
const STEPS_PER_OCTAVE = 8;
const STEP_BITS = 3;

/**
 * The bucket of a log-linear histogram that a duration falls in: every millisecond its own up to 8, then eight to each
 * power of two, from a millisecond to hours. What is read from it is exact up to 15 ms; see {@link LatencyHistogram.quantilesMs}.
 * @param durationMs from 0; fractions are dropped
 */
export function latencyBucket(durationMs: number): number {
  const ms = Math.max(0, Math.floor(durationMs));
  if (ms < STEPS_PER_OCTAVE) return ms;
  const octave = 31 - Math.clz32(ms);
  const step = (ms >>> (octave - STEP_BITS)) - STEPS_PER_OCTAVE;
  return (octave - STEP_BITS + 1) * STEPS_PER_OCTAVE + step;
}

/** The lowest duration of a bucket, in whole milliseconds: the inverse of {@link latencyBucket}. */
export function latencyBucketFloorMs(bucket: number): number {
  if (bucket < STEPS_PER_OCTAVE) return bucket;
  const octave = Math.floor(bucket / STEPS_PER_OCTAVE) + STEP_BITS - 1;
  const step = bucket % STEPS_PER_OCTAVE;
  return (STEPS_PER_OCTAVE + step) * 2 ** (octave - STEP_BITS);
}

/** How many durations fell in which bucket. */
export class LatencyHistogram {
  /** By bucket. */
  readonly #counts: number[] = [];
  #total = 0;

  /** Of all buckets. */
  get total(): number {
    return this.#total;
  }

  /** @param bucket as {@link latencyBucket} gives it */
  add(bucket: number, count: number): void {
    const counts = this.#counts;
    while (counts.length <= bucket) counts.push(0);
    counts[bucket] = (counts[bucket] ?? 0) + count;
    this.#total += count;
  }

  addAll(other: LatencyHistogram): void {
    for (const [bucket, count] of other.#counts.entries()) if (count > 0) this.add(bucket, count);
  }

  /**
   * Quantiles of the durations, by nearest rank: the smallest duration that at least the share `q` of all is not above. The
   * middle of its bucket stands for it, which is off by at most a sixteenth (6.25%) of the exact one, and by nothing up to
   * 15 ms.
   * @param shares each above 0, at most 1
   * @returns milliseconds, in the order of the shares; null when nothing was counted
   * @throws RangeError for what is no such share
   */
  quantilesMs(shares: readonly number[]): number[] | null {
    if (this.#total === 0) return null;
    return shares.map((q) => {
      let left = Math.max(1, Math.ceil(q * this.#total));
      for (const [bucket, count] of this.#counts.entries()) {
        left -= count;
        if (left <= 0) return bucketMiddleMs(bucket);
      }
      throw new RangeError(`${q} is not the share of a quantile`);
    });
  }
}

function bucketMiddleMs(bucket: number): number {
  const floor = latencyBucketFloorMs(bucket);
  return floor + Math.floor((latencyBucketFloorMs(bucket + 1) - floor) / 2);
}
