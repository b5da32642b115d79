import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { IdMaker } from '#domain/ids.js';
import { Claimer } from '#pipeline/claim.js';
import type { Settlement } from '#pipeline/delivery-store.js';
import { Dispatcher, type TakeLimits } from '#pipeline/dispatch.js';
import { HintBudget, hintBudgets } from '#pipeline/hint-budget.js';
import type { Lane } from '#pipeline/hint-queue.js';
import { InFlight } from '#pipeline/in-flight.js';
import { Settler } from '#pipeline/settle.js';
import {
  ASSUMED,
  costsOf,
  HINT_BUDGET,
  LOAD,
  PIPELINE,
  SLOTS,
  statementCosts,
} from '../../bench/simulation/parameters.js';
import { sizeFor } from '../../bench/simulation/scenario.js';

// What the simulation repeats of the pipeline is compared with what the pipeline does, as far as it can be seen from outside.

const resultOf = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../bench/results/${name}.json`, import.meta.url)), 'utf8');

const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test.each(['fast', 'slow'] as const)(
  'shares of the %s slots: an eighth, a half, and a quarter while others wait',
  (lane) => {
    const { total, ...shares } = SLOTS[lane];
    expect(shares).toEqual({
      perEndpoint: total / 8,
      perMerchant: total / 2,
      perMerchantContended: total / 4,
    });
  },
);

test('claims: how many to a statement, and one statement at a time', async () => {
  const inFlight = new InFlight(() => 0);
  const sizes: number[] = [];
  let running = 0;
  let runningMax = 0;
  const store = {
    claim: async (_: Lane, wanted: readonly unknown[]) => {
      sizes.push(wanted.length);
      runningMax = Math.max(runningMax, ++running);
      await later();
      running--;
      return [];
    },
  };
  const ids = new IdMaker(
    () => 0,
    (bytes) => new Uint8Array(bytes),
  );
  const claimer = new Claimer(store, ids, inFlight, 'fast', () => 0, { takeBack: () => Promise.resolve() });
  await Promise.all(Array.from({ length: 500 }, (_, index) => claimer.claim(`delivery ${index}`)));
  expect(Math.max(...sizes)).toBe(PIPELINE.claimsPerStatementMax);
  expect(runningMax).toBe(PIPELINE.claimStatementsAtOnce);
});

test('settlements: how many to a commit, and how many commits at once', async () => {
  const sizes: number[] = [];
  let running = 0;
  let runningMax = 0;
  const store = {
    settle: async (settlements: readonly Settlement[]) => {
      sizes.push(settlements.length);
      runningMax = Math.max(runningMax, ++running);
      await later();
      running--;
      return settlements.map(() => ({ kind: 'final' as const }));
    },
  };
  const settler = new Settler(
    store,
    { retrying: () => undefined },
    { isItems: () => false, isDatabaseAway: () => false },
  );
  const settlement = { attempt: { responseBody: null } } as Settlement;
  await Promise.all(Array.from({ length: 2_000 }, () => settler.settle(settlement)));
  expect(Math.max(...sizes)).toBe(PIPELINE.settlementsPerCommitMax);
  expect(runningMax).toBe(PIPELINE.settleCommitsAtOnce);
});

function budgetOf(waiting: () => number) {
  let nowMs = 0;
  const budget = new HintBudget({ waiting: () => Promise.resolve(waiting()) }, 'fast', () => nowMs);
  /** Looks at the queue a few times. */
  const look = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time++) {
      nowMs += HINT_BUDGET.lookEveryMs;
      budget.sweptFull();
      await budget.available();
    }
  };
  return { budget, look, at: (ms: number) => (nowMs = ms) };
}

test('the bound on the queue: where it starts, how far it goes, and what one endpoint or merchant gets', async () => {
  let waiting = 0;
  const { budget, look } = budgetOf(() => waiting);
  const bound = (): number => budget.perEndpointMax / HINT_BUDGET.endpointShare;
  expect(bound()).toBe(HINT_BUDGET.boundStart);
  await look(50);
  expect(bound()).toBe(HINT_BUDGET.boundMax);
  waiting = HINT_BUDGET.boundMax;
  await look(50);
  expect(bound()).toBe(HINT_BUDGET.boundMin);
  waiting = 0;

  const fresh = budgetOf(() => 0);
  await fresh.budget.available();
  fresh.at(1);
  const taken = (count: number, endpoint: (index: number) => string, merchant: string): number =>
    Array.from({ length: count }, (_, index) => fresh.budget.take(endpoint(index), merchant)).filter(Boolean)
      .length;
  const { boundStart, endpointShare, merchantShare } = HINT_BUDGET;
  expect(taken(boundStart, () => 'one', 'a')).toBe(boundStart * endpointShare);
  expect(taken(boundStart, (index) => `e${index}`, 'a')).toBe(boundStart * (merchantShare - endpointShare));
});

test('a sweep takes no more than so many of a lane', async () => {
  const asked = new Map<Lane, number>();
  const store = {
    takeDue: (lane: Lane, { deliveriesMax }: TakeLimits) => {
      asked.set(lane, deliveriesMax);
      return Promise.resolve([]);
    },
    isAnyHeldBack: () => Promise.resolve(false),
    unhint: () => Promise.resolve(),
  };
  const queue = { add: () => Promise.resolve(), waiting: () => Promise.resolve(-1e6) };
  const dispatcher = new Dispatcher(
    store,
    queue,
    hintBudgets(queue, () => 0),
    {
      hinted: () => undefined,
      hintsFailed: () => undefined,
    },
  );
  const { fast, slow, suspect } = new InFlight(() => 0).roomsAhead();
  await dispatcher.sweep({ fast, slow, suspect });
  expect(asked.get('fast')).toBe(PIPELINE.sweepMax.fast);
  expect(asked.get('slow')).toBe(PIPELINE.sweepMax.slow);
});

test("costs are those that the repository's own measurement names", () => {
  const costs = costsOf(resultOf('throughput'));
  for (const us of [costs.apiUs, costs.workerUs, costs.postgresUs, costs.redisUs])
    expect(us).toBeGreaterThan(0);
  expect(costs.diskSyncMs).toBeGreaterThan(0);
  const report = { measured_at: '', machine: { disk_sync: { p50_ms: 1 } }, results: [] };
  expect(() => costsOf(JSON.stringify(report))).toThrow('no cost of api');
});

interface StatementsReport {
  readonly results: readonly {
    readonly rows: number;
    readonly us_per_row: Readonly<Record<'accept' | 'claim' | 'settle', { readonly postgres: number }>>;
  }[];
}

test('what a statement and its rows cost is in proportion to what is measured of single statements', () => {
  const { results } = JSON.parse(resultOf('statements')) as StatementsReport;
  const usOf = (name: 'accept' | 'claim' | 'settle', atRows: number): number =>
    atRows * (results.find(({ rows }) => rows === atRows)?.us_per_row[name].postgres ?? NaN);
  const names = ['accept', 'claim', 'settle'] as const;
  const rowUs = names.map((name) => (usOf(name, 192) - usOf(name, 1)) / 191);
  const ofRowsUs = rowUs.reduce((sum, us) => sum + us, 0);
  const shares = [ASSUMED.acceptShare, ASSUMED.claimShare, ASSUMED.settleShare];
  for (const [index, share] of shares.entries())
    expect(share / ((rowUs[index] ?? NaN) / ofRowsUs)).toBeCloseTo(1, 0);
  const ofStatementUs = names.reduce((sum, name) => sum + usOf(name, 1), 0) / 3;
  const { statementUs, rowsUs } = statementCosts(costsOf(resultOf('throughput')).postgresUs);
  expect(statementUs / ofStatementUs).toBeCloseTo(1, 0);
  // Rows also pay for vacuum and the log's writers, which single statements are measured without.
  expect(rowsUs).toBeGreaterThan(ofRowsUs);
});

test('a size leaves the headroom that it is asked for, and no shard more', () => {
  const costs = costsOf(resultOf('throughput'));
  for (const utilisation of [0.5, 0.2, 0.1]) {
    const { shards, workersOfShard, apisOfShard } = sizeFor('', costs, utilisation);
    const cores = (LOAD.eventsPerSecond * costs.postgresUs) / 1e6 / utilisation;
    expect(shards * ASSUMED.coresOfShard).toBeGreaterThanOrEqual(cores);
    expect((shards - 1) * ASSUMED.coresOfShard).toBeLessThan(cores);
    expect(shards * workersOfShard * 1e6).toBeGreaterThanOrEqual(2 * LOAD.eventsPerSecond * costs.workerUs);
    expect(shards * apisOfShard * 1e6).toBeGreaterThanOrEqual(2 * LOAD.eventsPerSecond * costs.apiUs);
  }
});
