import type { MerchantState, Rules } from './gate.js';
import { jainIndex } from './measures.js';
import { ASSUMED, type Assumed, type Costs, LOAD, RECEIVERS, SLOTS } from './parameters.js';
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
  /** What is assumed otherwise here, and how that is told. */
  readonly variant?: { readonly name: string; readonly assumed: Partial<Assumed> };
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
/** What is not a database is sized so that its one thread, its slots and its shares of them are used by half. */
const OTHERS_BUSY = 0.5;
/** Fewer than these say little about one merchant. */
const EVENTS_MIN = 20;
/** One event in so many that is late makes a merchant late. */
const LATE_SHARE = 0.01;
/** Receivers take a little more than their median on average: the mean of a log-normal. */
const IN_FLIGHT_MS =
  Math.sqrt(RECEIVERS.medianMsMin * RECEIVERS.medianMsMax) * Math.exp(RECEIVERS.sigma ** 2 / 2);

/**
 * The size at which databases are busy for this part of the time by the measured cost of an event alone. The rest is headroom,
 * for sweeps, retries, what is hinted or claimed in vain, and what statements wait for each other.
 */
export function sizeFor(name: string, costs: Costs, utilisation: number): Size {
  const { eventsPerSecond } = LOAD;
  const busy = (us: number): number => (eventsPerSecond * us) / 1e6;
  const ofDatabases = busy(costs.postgresUs) / ASSUMED.coresOfShard / utilisation;
  const shards = Math.ceil(Math.max(ofDatabases, busy(costs.redisUs) / OTHERS_BUSY));
  const inFlight = (eventsPerSecond * IN_FLIGHT_MS) / 1_000;
  const workersOfShard = Math.max(busy(costs.workerUs), inFlight / SLOTS.fast.total) / shards;
  const [fattest = 0] = ratesByRank();
  /** With fewer, its share of their slots is less than it needs while others wait. */
  const workersForFattest = (fattest * IN_FLIGHT_MS) / 1_000 / SLOTS.fast.perMerchantContended;
  return {
    name,
    shards,
    workersOfShard: Math.ceil(Math.max(workersOfShard, workersForFattest) / OTHERS_BUSY),
    apisOfShard: Math.ceil(busy(costs.apiUs) / shards / OTHERS_BUSY),
  };
}

export function simulate(scenario: Scenario, costs: Costs): Outcome {
  const { size, rules, isAnyBad, seconds, variant } = scenario;
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
      ...(variant !== undefined && { assumed: variant.assumed }),
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
