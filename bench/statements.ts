import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../apps/standalone/src/embedded-postgres.js';
import { PipelineStatements } from '#adapters/postgres/pipeline-statements.js';
import { migrateDatabase } from '#foundation/migrate-database.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { ENDPOINTS, StatementLife, STEPS } from './rig/statement-life.js';

const ROWS = [1, 16, 64, 192];
const ROWS_MEASURED = 4_000;
const ROUNDS_MAX = 200;
/** Plans are made, and pages of the new tables are touched for the first time. */
const WARM_UP_ROUNDS = 10;

process.exitCode = await runBenchmark('statements', run);

/** What the three statements of an event's life cost by how many rows they take, over one connection and with nothing beside. */
async function run(signal: AbortSignal): Promise<object | null> {
  if (process.platform !== 'linux') {
    console.log('statements: skipped, the CPU time of a process is read from /proc');
    return null;
  }
  await using parts = new AsyncDisposableStack();
  await mkdir(DATA_PARENT, { recursive: true });
  const directory = await mkdtemp(join(DATA_PARENT, 'bench-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  const postgres = await startEmbeddedPostgres({ dataDir: directory, log: () => undefined });
  parts.defer(() => postgres.stop());
  await migrateDatabase(postgres.databaseUrl, () => undefined);
  const statements = new PipelineStatements(postgres.databaseUrl, 1);
  parts.defer(() => statements.close());
  const life = await StatementLife.begin(statements);
  const results: object[] = [];
  for (const rows of ROWS) {
    signal.throwIfAborted();
    const rounds = Math.min(ROUNDS_MAX, Math.ceil(ROWS_MEASURED / rows));
    for (let round = 0; round < WARM_UP_ROUNDS; round += 1) await life.round(rows);
    life.reset();
    for (let round = 0; round < rounds; round += 1) await life.round(rows);
    const costs = life.perRow(rounds * rows);
    results.push({ rows, us_per_row: costs });
    const told = STEPS.map((step) => {
      const { postgres: inPostgres, node } = costs[step];
      return `${step} ${inPostgres.toFixed(1)} + ${node.toFixed(1)}`;
    });
    console.log(`${rows} rows a statement, µs a row in PostgreSQL + in Node: ${told.join(', ')}`);
  }
  return { endpoints: ENDPOINTS, results };
}
