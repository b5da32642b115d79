import type { Rules } from './gate.js';
import type { DelayHistogram } from './measures.js';
import type { Outcome } from './scenario.js';
import { type Group, GROUPS } from './shard-measures.js';

const NAMES: Readonly<Record<Group, string>> = {
  all: 'all events',
  wellBehaved: 'well-behaved merchants',
  ordinary: 'ordinary merchants',
  fattest: 'the fattest merchant',
  hanging: 'merchants with hanging endpoints',
  slow: 'merchants with slow endpoints',
  failing: 'merchants with failing endpoints',
  besideBurst: "ordinary merchants beside another one's burst",
  burster: 'the merchant of the burst',
};

const RULES: Readonly<Record<Rules, string>> = {
  none: 'one FIFO line',
  built: 'rules as built',
  amended: 'rules amended',
};

export function nameOf({ scenario: { size, rules, isAnyBad, variant } }: Outcome): string {
  const ofVariant = variant === undefined ? '' : `, ${variant.name}`;
  return `${size.name}, ${RULES[rules]}${isAnyBad ? '' : ', all receivers well'}${ofVariant}`;
}

/** Every group of one scenario, a line each. */
export function tellDelays(outcome: Outcome): string[] {
  return GROUPS.filter((group) => outcome.delays[group].count > 0).map(
    (group) => `  ${NAMES[group]}: ${describe(outcome.delays[group])} (n=${outcome.delays[group].count})`,
  );
}

/** One scenario in three lines. */
export function tellSummary(outcome: Outcome): string[] {
  const { scenario, delays, fairness, utilisation, utilisationMax } = outcome;
  const { shards, workersOfShard, apisOfShard } = scenario.size;
  const p99 = (group: Group): string => time(delays[group].quantile(0.99));
  const busy = (name: keyof typeof utilisation): string =>
    `${percent(utilisation[name])} (${percent(utilisationMax[name])})`;
  return [
    `${nameOf(outcome)}: ${shards} shards, ${shards * workersOfShard} workers, ${shards * apisOfShard} APIs, ${scenario.seconds} s`,
    `  p99: ordinary ${p99('ordinary')}, well-behaved ${p99('wellBehaved')}, fattest ${p99('fattest')}, beside a burst ${p99('besideBurst')}`,
    `  fairness: ${fairness.late} of ${fairness.merchants} well-behaved merchants late, Jain ${fairness.jainOfPrompt.toFixed(3)} of goodput, ${fairness.jainOfDelay.toFixed(3)} of delay`,
    `  busy, mean and busiest shard: database ${busy('database')}, of that sweeps ${busy('sweeps')}, Redis ${busy('redis')}, workers ${busy('worker')}, APIs ${busy('api')}; slots fast ${busy('fastSlots')}, slow ${busy('slowSlots')}`,
  ];
}

/** What is written down of a scenario. */
export function record(outcome: Outcome): object {
  const { scenario, delays, fairness, utilisation, utilisationMax } = outcome;
  const ofGroup = (histogram: DelayHistogram): object => ({
    n: histogram.count,
    mean_ms: rounded(histogram.meanMs),
    p50_ms: rounded(histogram.quantile(0.5)),
    p95_ms: rounded(histogram.quantile(0.95)),
    p99_ms: rounded(histogram.quantile(0.99)),
  });
  return {
    size: scenario.size.name,
    rules: scenario.rules,
    has_bad_receivers: scenario.isAnyBad,
    ...(scenario.variant !== undefined && { assumed_instead: scenario.variant.assumed }),
    seconds: scenario.seconds,
    shards: scenario.size.shards,
    workers: scenario.size.shards * scenario.size.workersOfShard,
    apis: scenario.size.shards * scenario.size.apisOfShard,
    delay: Object.fromEntries(
      GROUPS.filter((group) => delays[group].count > 0).map((group) => [
        snake(group),
        ofGroup(delays[group]),
      ]),
    ),
    fairness: inSnake(fairness),
    utilisation: inSnake(utilisation),
    utilisation_of_busiest_shard: inSnake(utilisationMax),
  };
}

function inSnake(values: object): object {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      snake(name),
      Math.round((value as number) * 1_000) / 1_000,
    ]),
  );
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function describe(histogram: DelayHistogram): string {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => time(histogram.quantile(share)));
  return `p50 ${p50}, p95 ${p95}, p99 ${p99}`;
}

function time(ms: number): string {
  if (Number.isNaN(ms)) return '-';
  return ms < 1_000 ? `${ms.toFixed(1)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
