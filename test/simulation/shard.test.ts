import { expect, test } from '@jest/globals';
import type { Kind, Merchant } from '../../bench/simulation/population.js';
import { Shard, type ShardOptions } from '../../bench/simulation/shard.js';
import { ASSUMED, type Costs, LOAD, statementCosts } from '../../bench/simulation/parameters.js';

// A whole shard, small enough for each test to say what must come out.

const FREE: Costs = { apiUs: 0, workerUs: 0, postgresUs: 0, redisUs: 0, diskSyncMs: 0, measuredAt: '' };

function merchant(rank: number, kind: Kind, eventsPerSecond: number, endpoints = 1): Merchant {
  return { rank, kind, eventsPerSecond, endpointMediansMs: new Array<number>(endpoints).fill(100) };
}

function shardOf(
  merchants: readonly Merchant[],
  seconds: number,
  options: Partial<ShardOptions> = {},
): Shard {
  const endMs = seconds * 1_000;
  return new Shard({
    merchants,
    workers: 1,
    apis: 1,
    databaseCores: 4,
    costs: FREE,
    rules: 'built',
    hasBurst: false,
    time: { fromMs: endMs / 10, toMs: endMs - 1_000, burstFromMs: endMs / 2, burstToMs: endMs },
    endMs,
    seed: 1,
    ...options,
  });
}

test('one worker before quick receivers is M/D/1: each delivery is a request and an answer for its one thread', () => {
  const [perSecond, workerUs, seconds] = [60, 10_000, 2_000];
  const shard = shardOf([merchant(500, 'good', perSecond)], seconds, {
    rules: 'none',
    costs: { ...FREE, workerUs },
  });
  const utilisation = shard.run();
  const load = (perSecond * workerUs) / 1e6;
  const serviceMs = (workerUs / 1_000) * ASSUMED.workerShareBeforeSend;
  const waitMs = (load * serviceMs) / (2 * (1 - load));
  // Accept, hint and claim are a trip each.
  const expectedMs = 3 * ASSUMED.roundTripMs + waitMs + serviceMs;
  expect(utilisation.worker).toBeCloseTo(load, 1);
  expect(shard.measures.delays.all.count / (perSecond * (seconds * 0.9 - 1))).toBeCloseTo(1, 1);
  expect(shard.measures.delays.all.meanMs / expectedMs).toBeCloseTo(1, 1);
});

test('slots in use are those of Little: rate times time in flight', () => {
  const shard = shardOf([merchant(500, 'slow', 50)], 300, { rules: 'none', workers: 2 });
  const { fastSlots } = shard.run();
  // 50 a second for 3 s, of two workers' 768 slots.
  expect((fastSlots * 2 * 768) / 150).toBeCloseTo(1, 1);
});

test('a database of so many cores is busy for what its events cost', () => {
  const [perSecond, postgresUs] = [50, 1_000];
  const shard = shardOf([merchant(500, 'good', perSecond)], 200, {
    rules: 'none',
    costs: { ...FREE, postgresUs },
    workers: 8,
    apis: 4,
  });
  const { database, sweeps } = shard.run();
  // Among so many processes nearly every event has its three statements for itself.
  const { rowsUs, statementUs } = statementCosts(postgresUs);
  const ofEventUs = rowsUs + 3 * statementUs;
  expect(((database - sweeps) * 4) / ((perSecond * ofEventUs) / 1e6)).toBeCloseTo(1, 1);
});

test('one endpoint gets no more than its gate lets through, however many cores and workers there are', () => {
  const lockedUs = 1_000;
  const rowsShare = (1 - ASSUMED.statementsShare) * (ASSUMED.claimShare + ASSUMED.settleShare);
  const postgresUs = lockedUs / ASSUMED.gateLockShare / rowsShare;
  const prompt = (perSecond: number): number => {
    const shard = shardOf([{ ...merchant(500, 'good', perSecond, 3) }], 30, {
      costs: { ...FREE, postgresUs },
      databaseCores: 64,
      workers: 4,
    });
    shard.run();
    const [gate] = shard.gates;
    return (gate?.merchant.prompt ?? 0) / (gate?.merchant.events ?? 1);
  };
  // A thousand a second by its rows, and less by what each statement takes beside them.
  expect(prompt(600)).toBeGreaterThan(0.99);
  expect(prompt(1_200)).toBeLessThan(0.5);
});

const CROWD = [
  ...Array.from({ length: 20 }, (_, index) => merchant(LOAD.fatRanks + 1 + index, 'good', 20)),
  ...Array.from({ length: 30 }, (_, index) => merchant(900 + index, 'hanging', 10)),
];

test('beside receivers that hang, a FIFO line makes everybody wait, and the rules nobody but them', () => {
  const p99 = (rules: 'none' | 'built' | 'amended'): number => {
    const shard = shardOf(CROWD, 30, { rules });
    shard.run();
    return shard.measures.delays.ordinary.quantile(0.99);
  };
  expect(p99('none')).toBeGreaterThan(5_000);
  expect(p99('built')).toBeLessThan(100);
  expect(p99('amended')).toBeLessThan(100);
});

test('breakers open on what hangs, and on nothing else', () => {
  const shard = shardOf(CROWD.slice(0, 23), 60);
  shard.run();
  const open = shard.gates.filter(({ isBreakerOpen }) => isBreakerOpen);
  expect(open.length).toBeGreaterThan(0);
  expect(open.every(({ merchant: { kind } }) => kind === 'hanging')).toBe(true);
});

test('an endpoint of much traffic is slow after one late answer as built, and stays quick as amended', () => {
  const lanes = (rules: 'built' | 'amended'): string[] => {
    // Of answers around 300 ms, one in some 120 takes over a second.
    const busy: Merchant = { ...merchant(500, 'good', 300), endpointMediansMs: [300] };
    const shard = shardOf([busy, merchant(501, 'slow', 5)], 20, { rules, workers: 4 });
    shard.run();
    return shard.gates.map(({ lane }) => lane);
  };
  expect(lanes('built')).toEqual(['slow', 'slow']);
  expect(lanes('amended')).toEqual(['fast', 'slow']);
});

test('what never sets out counts with the time that it has waited', () => {
  const shard = shardOf([merchant(500, 'hanging', 200)], 20, { rules: 'built' });
  shard.run();
  const { all } = shard.measures.delays;
  expect(all.count / (200 * 17)).toBeCloseTo(1, 1);
  expect(all.quantile(0.5)).toBeGreaterThan(1_000);
});

test('every worker sweeps, and each walks what is open', () => {
  const busy = (workers: number): number => shardOf(CROWD.slice(0, 20), 30, { workers }).run().sweeps;
  expect(busy(4) / busy(1)).toBeCloseTo(4, 0);
});

test('a burst waits for itself, the others do not wait for it', () => {
  const crowd = [merchant(LOAD.burst.rank, 'good', 20), ...CROWD.slice(0, 20)];
  const shard = shardOf(crowd, 20, { hasBurst: true });
  shard.run();
  expect(shard.measures.delays.burster.quantile(0.5)).toBeGreaterThan(1_000);
  expect(shard.measures.delays.besideBurst.count).toBeGreaterThan(1_000);
  expect(shard.measures.delays.besideBurst.quantile(0.99)).toBeLessThan(100);
});

test('the same seed gives the same result', () => {
  const run = (seed: number): readonly number[] => {
    const shard = shardOf(CROWD, 10, { seed });
    return [
      ...Object.values(shard.run() as unknown as Record<string, number>),
      shard.measures.delays.all.meanMs,
    ];
  };
  expect(run(4)).toEqual(run(4));
  expect(run(4)).not.toEqual(run(5));
});
