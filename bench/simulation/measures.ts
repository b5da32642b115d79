/** Ten microseconds: nothing that is told here is finer. */
const SMALLEST_MS = 0.01;
/** A bucket is so much wider than the one before: quantiles are right to about a hundredth. */
const GROWTH = Math.log(1.02);
/** Up to more than an hour. */
const BUCKETS = 1_000;

/** Delays by their order of magnitude: small, exact enough, and two of them can be added. */
export class DelayHistogram {
  private readonly counts = new Float64Array(BUCKETS);
  count = 0;
  private sumMs = 0;

  add(delayMs: number): void {
    const bucket = delayMs <= SMALLEST_MS ? 0 : Math.ceil(Math.log(delayMs / SMALLEST_MS) / GROWTH);
    const index = Math.min(bucket, BUCKETS - 1);
    this.counts[index] = (this.counts[index] as number) + 1;
    this.count++;
    this.sumMs += delayMs;
  }

  merge(other: DelayHistogram): void {
    for (let index = 0; index < BUCKETS; index++) {
      this.counts[index] = (this.counts[index] as number) + (other.counts[index] as number);
    }
    this.count += other.count;
    this.sumMs += other.sumMs;
  }

  get meanMs(): number {
    return this.sumMs / this.count;
  }

  /** The middle of the bucket that holds it. NaN of nothing. */
  quantile(share: number): number {
    if (this.count === 0) return Number.NaN;
    let left = Math.max(1, Math.ceil(this.count * share));
    for (let index = 0; index < BUCKETS; index++) {
      left -= this.counts[index] as number;
      if (left <= 0) return index === 0 ? SMALLEST_MS : SMALLEST_MS * Math.exp((index - 0.5) * GROWTH);
    }
    return Number.NaN;
  }
}

/**
 * Jain's index: 1 when all have the same, 1/n when one has everything.
 * (Jain, Chiu, Hawe: A quantitative measure of fairness and discrimination, DEC TR-301, 1984.)
 */
export function jainIndex(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? 1 : sum ** 2 / (values.length * squares);
}
