import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { latencyBucket, latencyBucketFloorMs, LatencyHistogram } from './latency-histogram.js';

test('small durations have a bucket each, larger ones eight to a power of two', () => {
  expect([0, 1, 7, 8, 9, 15, 16, 17, 18, 31, 32, 10_000].map(latencyBucket)).toEqual([
    0, 1, 7, 8, 9, 15, 16, 16, 17, 23, 24, 89,
  ]);
  expect([0, 7, 8, 15, 16, 17, 23, 24, 89].map(latencyBucketFloorMs)).toEqual([
    0, 7, 8, 15, 16, 18, 30, 32, 9_216,
  ]);
});

test('a duration lies in its bucket, which is at most an eighth wide, and buckets ascend without a gap', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (ms) => {
      const bucket = latencyBucket(ms);
      const floor = latencyBucketFloorMs(bucket);
      const next = latencyBucketFloorMs(bucket + 1);
      expect(floor).toBeLessThanOrEqual(ms);
      expect(ms).toBeLessThan(next);
      expect(next - floor).toBeLessThanOrEqual(Math.max(1, floor / 8));
      expect(latencyBucket(floor)).toBe(bucket);
    }),
  );
});

function histogramOf(durations: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const ms of durations) histogram.add(latencyBucket(ms), 1);
  return histogram;
}

test('a quantile is the middle of the bucket that the exact one, by nearest rank, is in', () => {
  expect(histogramOf([]).quantilesMs([0.5])).toBeNull();
  expect(histogramOf([3, 1, 2, 4]).quantilesMs([0.95, 0.5])).toEqual([4, 2]);
  expect(histogramOf([10_000]).quantilesMs([0.99])).toEqual([9_728]);
  expect(() => histogramOf([1]).quantilesMs([1.1])).toThrow(RangeError);
});

test('what is added up has the quantiles of all', () => {
  const all = histogramOf([3, 10_000]);
  all.addAll(histogramOf([1, 4, 90_000]));
  all.addAll(histogramOf([]));
  expect(all.total).toBe(5);
  expect(all.quantilesMs([0.5, 0.8, 1])).toEqual(
    histogramOf([1, 3, 4, 10_000, 90_000]).quantilesMs([0.5, 0.8, 1]),
  );
});

test('a quantile is within a sixteenth of the exact one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 4_000_000 })), {
        minLength: 1,
      }),
      fc.constantFrom(0.01, 0.5, 0.9, 0.95, 0.99, 1),
      (durations, q) => {
        const sorted = durations.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? Number.NaN;
        const [read = Number.NaN] = histogramOf(durations).quantilesMs([q]) ?? [];
        expect(Math.abs(read - exact)).toBeLessThanOrEqual(exact / 16);
        if (exact < 16) expect(read).toBe(exact);
      },
    ),
  );
});
