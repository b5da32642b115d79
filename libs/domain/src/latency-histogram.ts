/** Steps between one power of two and the next: a bucket is at most an eighth of its own value wide. */
const STEPS_PER_OCTAVE = 8;
const STEP_BITS = 3;

/**
 * The bucket of a log-linear histogram that a duration falls in: every millisecond its own up to 8, then eight to each
 * power of two. Percentiles read from it are at most 12.5% too low, from a millisecond to hours.
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
