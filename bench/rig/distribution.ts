/** Of a sample, in milliseconds. */
export interface Distribution {
  readonly n: number;
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** @param samplesMs at least one */
export function distributionOf(samplesMs: readonly number[]): Distribution {
  const sorted = samplesMs.toSorted((a, b) => a - b);
  return {
    n: sorted.length,
    p50_ms: percentile(sorted, 50),
    p95_ms: percentile(sorted, 95),
    p99_ms: percentile(sorted, 99),
    max_ms: percentile(sorted, 100),
  };
}

export function describe({ n, p50_ms: p50, p95_ms: p95, p99_ms: p99 }: Distribution): string {
  return `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms (n=${n})`;
}

/** Nearest rank: a value that was measured, and not one between two. Rounded to a hundredth of a millisecond. */
function percentile(sorted: readonly number[], percent: number): number {
  const value = sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? Number.NaN;
  return Math.round(value * 100) / 100;
}
