import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { latencyBucket, latencyBucketFloorMs } from './latency-histogram.js';

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
