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
/** By the measured costs alone: everything busy all the time, half of it, less than a third. */
const tooFew = sizeFor('too few', costs, 1);
const enough = sizeFor('enough', costs, 0.5);
const plenty = sizeFor('plenty', costs, 0.3);
/** What would be enough if statements did not wait for each other at the gates. */
const fewer = sizeFor('fewer databases', costs, 0.5, AMENDED.gateLockShare);

const SCENARIOS: readonly Scenario[] = [
  { size: enough, rules: 'built', isAnyBad: true, seconds: LONG_SECONDS },
  { size: enough, rules: 'none', isAnyBad: true, seconds: LONG_SECONDS },
  { size: fewer, rules: 'amended', isAnyBad: true, seconds: LONG_SECONDS },
  { size: enough, rules: 'built', isAnyBad: false, seconds: SHORT_SECONDS },
  { size: tooFew, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS },
  { size: plenty, rules: 'built', isAnyBad: true, seconds: SHORT_SECONDS },
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
