import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mostSpent, readCpuProfile } from './rig/cpu-profile.js';
import { flameGraph } from './rig/flame-graph.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';

const SECONDS = 20;
const MERCHANTS = 50;
const TOP = 10;
/** Start, warm-up and the compiling of what is hot. */
const SKIP_SHARE = 0.5;
/** Where the flame graphs go. */
const GRAPHS = 'docs/performance';
/** Ends the names of the graphs: `npm run bench:profile -- before`. */
const LABEL = process.argv[2] ?? 'now';

process.exitCode = await runBenchmark(`profile-${LABEL}`, run);

/** Where API and worker spend their time while events go end to end, as the sampling profiler sees it. */
async function run(signal: AbortSignal): Promise<object> {
  await using parts = new AsyncDisposableStack();
  await mkdir(DATA_PARENT, { recursive: true });
  const directory = await mkdtemp(join(DATA_PARENT, 'profiles-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  process.env['POSTHORN_BENCH_PROFILES'] = directory;
  const rate = await load(signal);
  await mkdir(GRAPHS, { recursive: true });
  const profiles: Record<string, object> = {};
  for (const name of await readdir(directory)) {
    const file = join(directory, name);
    const program = (await readFile(file, 'utf8')).includes('/apps/worker/src/main.js') ? 'worker' : 'api';
    const root = await readCpuProfile(file, SKIP_SHARE);
    const graph = join(GRAPHS, `${program}-${LABEL}.svg`);
    await writeFile(graph, flameGraph(root, `${program}, ${LABEL}, at ${rate}/s end to end`));
    const [owners, functions] = [mostSpent(root, (of) => of.owner), mostSpent(root, (of) => of.name)];
    profiles[program] = { owners: owners.slice(0, TOP), functions: functions.slice(0, TOP) };
    console.log(`${program}: ${graph}`);
    const percent = (share: number): string => `${(share * 100).toFixed(1).padStart(5)}%`;
    for (const [owner, share] of owners.slice(0, TOP)) console.log(`  ${percent(share)} ${owner}`);
    for (const [of, share] of functions.slice(0, TOP)) console.log(`  ${percent(share)}   ${of}`);
  }
  return { deliveries_per_second: rate, profiles };
}

async function load(signal: AbortSignal): Promise<number> {
  // Read when it is loaded: what is started from then on leaves profiles.
  const { ThroughputRig } = await import('./rig/throughput-rig.js');
  await using parts = new AsyncDisposableStack();
  const rig = (await ThroughputRig.start('redis')) ?? (await ThroughputRig.start('postgres'));
  if (rig === null) throw new Error('nothing could be started');
  parts.defer(() => rig.stop());
  const merchantIds = await rig.addMerchants(MERCHANTS);
  await rig.pass(merchantIds, { seconds: SECONDS / 2 });
  signal.throwIfAborted();
  const passed = await rig.pass(merchantIds, { seconds: SECONDS });
  const rate = Math.round(passed.deliveriesPerSecond);
  console.log(`end to end: ${rate}/s; CPU µs an event: ${JSON.stringify(passed.cost.cpu_us_per_event)}`);
  return rate;
}
