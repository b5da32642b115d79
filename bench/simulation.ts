import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AMENDED, ASSUMED, costsOf, LOAD, RECEIVERS } from './simulation/parameters.js';
import { ratesByRank } from './simulation/population.js';
import { nameOf, record, tellDelays, tellSummary } from './simulation/report.js';
import { type Scenario, simulate, sizeFor } from './simulation/scenario.js';

const IS_QUICK = process.argv.includes('--quick');
const RESULTS = join('bench', 'results');
/** Long enough for breakers to open, and for a line without shares to fill up with what hangs. */
const LONG_SECONDS = IS_QUICK ? 4 : 40;
const SHORT_SECONDS = IS_QUICK ? 1.2 : 12;

const costs = costsOf(await readFile(join(RESULTS, 'throughput.json'), 'utf8'));
/** By the measured cost of an event the databases are busy for so much of the time; the rest is headroom. */
const half = sizeFor('half busy', costs, 0.5);
const tooFew = sizeFor('too few', costs, 0.3);
const enough = sizeFor('enough', costs, 0.2);
const plenty = sizeFor('plenty', costs, 0.1);

/** The two figures that nobody has measured and most depends on, each twice what it is taken for. */
const GATES = {
  name: 'gates held twice as long',
  assumed: { gateLockShare: 2 * ASSUMED.gateLockShare },
};
const SWEEPS = {
  name: 'sweeps twice as dear',
  assumed: { sweepEndpointUs: 2 * ASSUMED.sweepEndpointUs },
};

const SCENARIOS: readonly Scenario[] = [
  { size: enough, rules: 'built', isAnyBad: true, seconds: LONG_SECONDS },
  { size: enough, rules: 'none', isAnyBad: true, seconds: LONG_SECONDS },
  { size: tooFew, rules: 'amended', isAnyBad: true, seconds: LONG_SECONDS },
  { size: enough, rules: 'built', isAnyBad: false, seconds: SHORT_SECONDS },
  { size: half, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS },
  { size: tooFew, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS },
  { size: plenty, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS },
  { size: enough, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS, variant: GATES },
  { size: plenty, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS, variant: GATES },
  { size: enough, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS, variant: SWEEPS },
];
/** Those of which every group is told. */
const TOLD_WHOLE = 3;

const [fattest = 0] = ratesByRank();
console.log(
  `${LOAD.merchants} merchants, ${LOAD.eventsPerSecond} events/s, the fattest ${Math.round(fattest)}/s; ` +
    `µs of CPU an event, measured ${costs.measuredAt.slice(0, 10)}: ` +
    `api ${costs.apiUs}, worker ${costs.workerUs}, postgres ${costs.postgresUs}, redis ${costs.redisUs}`,
);
console.log('delay: from the arrival of an event to its first request setting out');
const outcomes = SCENARIOS.map((scenario, index) => {
  const outcome = simulate(scenario, costs);
  console.log(tellSummary(outcome).join('\n'));
  if (index < TOLD_WHOLE) console.log(tellDelays(outcome).join('\n'));
  return outcome;
});
const [built, fifo, , well] = outcomes.map(({ delays }) => delays.ordinary.quantile(0.99));
const ratio = (p99 = NaN): string => (p99 / (well ?? NaN)).toFixed(1);
console.log(
  'p99 of ordinary merchants beside bad receivers, of their p99 without any: ' +
    `${ratio(built)} with the rules as built, ${ratio(fifo)} in one FIFO line`,
);
const file = join(RESULTS, IS_QUICK ? 'simulation-quick.json' : 'simulation.json');
const report = {
  load: LOAD,
  receivers: RECEIVERS,
  assumed: ASSUMED,
  amended: AMENDED,
  costs,
  scenarios: outcomes.map((outcome) => ({ name: nameOf(outcome), ...record(outcome) })),
};
await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`);
console.log(`written to ${file}`);
