import { expect, test } from '@jest/globals';
import { DelayHistogram, jainIndex } from '../../bench/simulation/measures.js';
import { LOAD } from '../../bench/simulation/parameters.js';
import { makeMerchants, placeOnShards } from '../../bench/simulation/population.js';
import { Random, WeightedChoice } from '../../bench/simulation/random.js';

const DRAWS = 200_000;

function draws(draw: (random: Random) => number): number[] {
  const random = new Random(11);
  return Array.from({ length: DRAWS }, () => draw(random));
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

test.each<[string, (random: Random) => number, number, number]>([
  ['uniform', (random) => random.uniform(), 1 / 2, 1 / 12],
  ['exponential', (random) => random.exponential(3), 3, 9],
  [
    'log-normal',
    (random) => random.logNormal(5, 0.5),
    5 * Math.exp(0.125),
    25 * (Math.exp(0.25) - 1) * Math.exp(0.25),
  ],
])('the mean and the variance of what is %s', (_, draw, expectedMean, expectedVariance) => {
  const values = draws(draw);
  const around = mean(values);
  expect(around / expectedMean).toBeCloseTo(1, 1);
  expect(mean(values.map((value) => (value - around) ** 2)) / expectedVariance).toBeCloseTo(1, 1);
});

test('a seed gives its numbers again, another one others', () => {
  const take = (seed: number): number[] => {
    const random = new Random(seed);
    return Array.from({ length: 5 }, () => random.uniform());
  };
  expect(take(1)).toEqual(take(1));
  expect(take(1)).not.toEqual(take(2));
});

test('things are drawn by their weight', () => {
  const weights = [1, 0.001, 5, 20, 0.5];
  const choice = new WeightedChoice(weights, (weight) => weight);
  const drawn = draws((random) => choice.draw(random));
  for (const weight of weights) {
    const share = drawn.filter((value) => value === weight).length / DRAWS;
    expect(share).toBeCloseTo(weight / 26.501, 2);
  }
});

test('quantiles are those of the values, to a hundredth', () => {
  const values = draws((random) => random.exponential(40));
  const [whole, half] = [new DelayHistogram(), new DelayHistogram()];
  for (const [index, value] of values.entries()) (index % 2 === 0 ? whole : half).add(value);
  whole.merge(half);
  const sorted = values.toSorted((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.95, 0.99, 1]) {
    const exact = sorted[Math.ceil(share * DRAWS) - 1] as number;
    expect(Math.abs(whole.quantile(share) / exact - 1)).toBeLessThan(0.0101);
  }
  expect(whole.count).toBe(DRAWS);
  expect(whole.meanMs).toBeCloseTo(mean(values), 6);
});

test.each([
  [[3, 3, 3, 3], 1],
  [[8, 0, 0, 0], 0.25],
  [[4, 4, 0, 0], 0.5],
  [[0, 0], 1],
])("Jain's index of %j", (values, index) => {
  expect(jainIndex(values)).toBeCloseTo(index, 12);
});

test('merchants have the rate of the whole between them, by Zipf, and so many of each kind', () => {
  const merchants = makeMerchants(new Random(5), true);
  const rates = merchants.map(({ eventsPerSecond }) => eventsPerSecond);
  expect(rates.reduce((sum, rate) => sum + rate, 0)).toBeCloseTo(LOAD.eventsPerSecond, 3);
  expect((rates[0] as number) / (rates[99] as number)).toBeCloseTo(100 ** LOAD.zipfExponent, 6);
  const kinds = Object.groupBy(merchants, ({ kind }) => kind);
  expect(kinds.slow).toHaveLength(LOAD.shares.slow * LOAD.merchants);
  expect(kinds.hanging).toHaveLength(LOAD.shares.hanging * LOAD.merchants);
  expect(merchants.slice(0, LOAD.wellBehavedRanks).every(({ kind }) => kind === 'good')).toBe(true);
  expect(merchants[LOAD.burst.rank - 1]?.kind).toBe('good');
  expect(makeMerchants(new Random(5), false).every(({ kind }) => kind === 'good')).toBe(true);
});

test('shards get about the same rate, and every merchant one of them', () => {
  const merchants = makeMerchants(new Random(5), true);
  const shards = placeOnShards(merchants, 7);
  expect(new Set(shards.flat())).toEqual(new Set(merchants));
  for (const shard of shards) {
    const rate = shard.reduce((sum, { eventsPerSecond }) => sum + eventsPerSecond, 0);
    expect(rate / (LOAD.eventsPerSecond / 7)).toBeCloseTo(1, 2);
  }
});
