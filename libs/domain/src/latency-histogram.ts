/** Steps between one power of two and the next: a bucket is at most an eighth of its own value wide. */
const STEPS_PER_OCTAVE = 8;
const STEP_BITS = 3;

/**
 * The bucket of a log-linear histogram that a duration falls in: every millisecond its own up to 8, then eight to each
 * power of two, from a millisecond to hours. What is read from it is exact up to 15 ms; see {@link latencyQuantilesMs}.
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

/** How many durations fell in a bucket. */
export interface BucketCount {
  readonly bucket: number;
  readonly count: number;
}

/**
 * Quantiles of durations that were counted by {@link latencyBucket}, by nearest rank: the smallest duration that at least the
 * share `q` of all is not above. The middle of its bucket stands for it, which is off by at most a sixteenth (6.25%) of the
 * exact one, and by nothing up to 15 ms.
 * @param counts in any order; a bucket may stand in it more than once
 * @param shares each above 0, at most 1
 * @returns milliseconds, in the order of the shares; null when nothing was counted
 */
export function latencyQuantilesMs(
  counts: readonly BucketCount[],
  shares: readonly number[],
): number[] | null {
  const byBucket = new Map<number, number>();
  let total = 0;
  for (const { bucket, count } of counts) {
    byBucket.set(bucket, (byBucket.get(bucket) ?? 0) + count);
    total += count;
  }
  if (total === 0) return null;
  const ascending = [...byBucket].sort(([a], [b]) => a - b);
  return shares.map((q) => {
    let left = Math.max(1, Math.ceil(q * total));
    for (const [bucket, count] of ascending) {
      left -= count;
      if (left <= 0) return bucketMiddleMs(bucket);
    }
    throw new RangeError(`${q} is not the share of a quantile`);
  });
}

function bucketMiddleMs(bucket: number): number {
  const floor = latencyBucketFloorMs(bucket);
  return floor + Math.floor((latencyBucketFloorMs(bucket + 1) - floor) / 2);
}
