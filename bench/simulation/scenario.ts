import type { MerchantState, Rules } from './gate.js';
import { jainIndex } from './measures.js';
import { ASSUMED, type Costs, LOAD, PIPELINE, RECEIVERS, SLOTS, statementCosts } from './parameters.js';
import { makeMerchants, placeOnShards, ratesByRank } from './population.js';
import { Random } from './random.js';
import { Shard, type Utilisation } from './shard.js';
import { type Delays, GROUPS, type MeasuredTime, noDelays } from './shard-measures.js';

export interface Size {
  readonly name: string;
  readonly shards: number;
  readonly workersOfShard: number;
  readonly apisOfShard: number;
}

export interface Scenario {
  readonly size: Size;
  readonly rules: Rules;
  /** Whether there are receivers that are slow, hang or fail, and a burst. */
  readonly isAnyBad: boolean;
  readonly seconds: number;
}

export interface Outcome {
  readonly scenario: Scenario;
  readonly delays: Delays;
  readonly fairness: Fairness;
  /** The mean of all shards, and the shard of each that has the most. */
  readonly utilisation: Utilisation;
  readonly utilisationMax: Utilisation;
}

/** Among merchants that behave well and had enough events to say anything. */
export interface Fairness {
  readonly merchants: number;
  /** Jain's index of the part of each one's events that set out within a second. */
  readonly jainOfPrompt: number;
  /** Jain's index of each one's mean delay. */
  readonly jainOfDelay: number;
  /** Merchants of whose events one in a hundred or more took longer than a second to set out. */
  readonly late: number;
}

const SEED = 20_261_122;
/** Fewer than these say little about one merchant. */
const EVENTS_MIN = 20;
/** One event in so many that is late makes a merchant late. */
const LATE_SHARE = 0.01;
/** Deliveries are rather a little more than the median's time in flight: the mean of a log-normal. */
const IN_FLIGHT_MS =
  Math.sqrt(RECEIVERS.medianMsMin * RECEIVERS.medianMsMax) * Math.exp(RECEIVERS.sigma ** 2 / 2);

/**
 * How much it takes for everything to be busy for this part of the time, by the measured costs alone: without sweeps,
 * retries, and what is hinted or claimed in vain.
 *
 * @param gateLockShare of a statement's time, how long it holds the gates of its endpoints
 */
export function sizeFor(
  name: string,
  costs: Costs,
  utilisation: number,
  gateLockShare: number = ASSUMED.gateLockShare,
): Size {
  const { eventsPerSecond } = LOAD;
  const processes = (us: number): number => (eventsPerSecond * us) / 1e6 / utilisation;
  const shards = Math.ceil(
    Math.max(
      processes(costs.postgresUs) / ASSUMED.coresOfShard,
      processes(costs.redisUs),
      // One endpoint in every batch is enough for all statements to wait for each other.
      processes(lockedUs(costs, gateLockShare)),
    ),
  );
  const inFlight = (eventsPerSecond * IN_FLIGHT_MS) / 1_000;
  const workers = Math.max(processes(costs.workerUs), inFlight / SLOTS.fast.total / utilisation);
  const [fattest = 0] = ratesByRank();
  /** With fewer, its share of their slots is less than it needs while others wait. */
  const workersForFattest = (fattest * IN_FLIGHT_MS) / 1_000 / SLOTS.fast.perMerchantContended;
  return {
    name,
    shards,
    workersOfShard: Math.ceil(Math.max(workers / shards, workersForFattest)),
    apisOfShard: Math.ceil(processes(costs.apiUs) / shards),
  };
}

/** For how long a delivery's claim and settlement hold its gate, each in a batch as it is while others wait. */
function lockedUs({ postgresUs, diskSyncMs }: Costs, gateLockShare: number): number {
  const { rowsUs, statementUs } = statementCosts(postgresUs);
  const ofRows = rowsUs * (ASSUMED.claimShare + ASSUMED.settleShare) * gateLockShare;
  const ofStatement = statementUs * gateLockShare + diskSyncMs * 1_000;
  return ofRows + (2 * ofStatement) / (PIPELINE.claimsPerStatementMax / 2);
}

export function simulate(scenario: Scenario, costs: Costs): Outcome {
  const { size, rules, isAnyBad, seconds } = scenario;
  const merchants = makeMerchants(new Random(SEED), isAnyBad);
  const delays = noDelays();
  const states = new Set<MerchantState>();
  const utilisations: Utilisation[] = [];
  for (const [index, ofShard] of placeOnShards(merchants, size.shards).entries()) {
    const shard = new Shard({
      merchants: ofShard,
      workers: size.workersOfShard,
      apis: size.apisOfShard,
      databaseCores: ASSUMED.coresOfShard,
      costs,
      rules,
      hasBurst: isAnyBad,
      time: timeOf(seconds),
      endMs: seconds * 1_000,
      seed: SEED + index + 1,
    });
    utilisations.push(shard.run());
    for (const group of GROUPS) delays[group].merge(shard.measures.delays[group]);
    for (const { merchant } of shard.gates) states.add(merchant);
  }
  const of = (choose: (values: number[]) => number): Utilisation => combine(utilisations, choose);
  return {
    scenario,
    delays,
    fairness: fairnessOf([...states]),
    utilisation: of((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    utilisationMax: of((values) => Math.max(...values)),
  };
}

/** What comes in the first quarter, or the first five seconds, is not looked at: nobody knows yet who is slow. */
function timeOf(seconds: number): MeasuredTime {
  const endMs = seconds * 1_000;
  const fromMs = Math.min(endMs / 4, 5_000);
  // What came just before the end and has not set out has not waited for long enough to say anything.
  const toMs = endMs - Math.min(endMs / 10, 1_000);
  return { fromMs, toMs, burstFromMs: endMs * 0.4, burstToMs: endMs * 0.4 + Math.min(endMs / 4, 5_000) };
}

function fairnessOf(states: readonly MerchantState[]): Fairness {
  const measured = states.filter(({ kind, events }) => kind === 'good' && events >= EVENTS_MIN);
  return {
    merchants: measured.length,
    jainOfPrompt: jainIndex(measured.map(({ prompt, events }) => prompt / events)),
    jainOfDelay: jainIndex(measured.map(({ delayMs, events }) => delayMs / events)),
    late: measured.filter(({ prompt, events }) => events - prompt >= events * LATE_SHARE).length,
  };
}

function combine(utilisations: readonly Utilisation[], choose: (values: number[]) => number): Utilisation {
  const [first] = utilisations;
  const names = Object.keys(first ?? {}) as (keyof Utilisation)[];
  return Object.fromEntries(
    names.map((name) => [name, choose(utilisations.map((of) => of[name]))]),
  ) as unknown as Utilisation;
}
