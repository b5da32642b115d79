import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../apps/standalone/src/embedded-postgres.js';
import { claimDeliveries } from '#adapters/postgres/claim-deliveries.js';
import type { Statements } from '#adapters/postgres/database.js';
import { PipelineStatements } from '#adapters/postgres/pipeline-statements.js';
import { settleDeliveries } from '#adapters/postgres/settle-deliveries.js';
import { writeAccepted } from '#adapters/postgres/write-accepted.js';
import { IdMaker } from '#domain/ids.js';
import { migrateDatabase } from '#foundation/migrate-database.js';
import type { AttemptRecord, Claimed } from '#pipeline/delivery-store.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import { threadCpuUs } from './rig/process-usage.js';
import { DATA_PARENT, runBenchmark } from './rig/run.js';
import { USUAL_DATA, USUAL_TYPE } from './rig/usual-event.js';

const ROWS = [1, 16, 64, 192];
const ENDPOINTS = 50;
const ROWS_MEASURED = 4_000;
const ROUNDS_MAX = 200;
/** Plans are made, and pages of the new tables are touched for the first time. */
const WARM_UP_ROUNDS = 10;

/** Microseconds of one statement. */
interface Costs {
  postgres: number;
  node: number;
}
type Step = 'accept' | 'claim' | 'settle';

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
  const life = await Life.begin(statements);
  const results: object[] = [];
  for (const rows of ROWS) {
    signal.throwIfAborted();
    const rounds = Math.min(ROUNDS_MAX, Math.ceil(ROWS_MEASURED / rows));
    for (let round = 0; round < WARM_UP_ROUNDS; round += 1) await life.round(rows);
    life.reset();
    for (let round = 0; round < rounds; round += 1) await life.round(rows);
    const costs = life.perRow(rounds * rows);
    results.push({ rows, us_per_row: costs });
    const told = (['accept', 'claim', 'settle'] as const).map((step) => {
      const { postgres: inPostgres, node } = costs[step];
      return `${step} ${inPostgres.toFixed(1)} + ${node.toFixed(1)}`;
    });
    console.log(`${rows} rows a statement, µs a row in PostgreSQL + in Node: ${told.join(', ')}`);
  }
  return { endpoints: ENDPOINTS, results };
}

/** Accepts, claims and settles the same number of deliveries again and again, and keeps account. */
class Life {
  readonly #clock = new DatabaseClock();
  readonly #ids = new IdMaker(() => Date.now(), randomBytes);
  readonly #data = Buffer.from(JSON.stringify(USUAL_DATA));
  #costs = nothing();

  private constructor(
    private readonly statements: Statements,
    private readonly backendPid: number,
    private readonly merchantId: string,
    private readonly endpointIds: readonly string[],
    private readonly catalogueVersion: bigint,
  ) {}

  static async begin(statements: Statements): Promise<Life> {
    const merchantId = randomUUID();
    const endpointIds = Array.from({ length: ENDPOINTS }, () => randomUUID());
    await statements.$executeRaw`INSERT INTO merchants (id, name) VALUES (${merchantId}::uuid, 'statements')`;
    await statements.$executeRaw`
      INSERT INTO endpoints (id, merchant_id, url, events, max_in_flight)
      SELECT id, ${merchantId}::uuid, 'http://127.0.0.1/', '{*}', 1000 FROM unnest(${endpointIds}::uuid[]) AS e (id)`;
    await statements.$executeRaw`
      INSERT INTO endpoint_gates (endpoint_id, merchant_id)
      SELECT id, ${merchantId}::uuid FROM unnest(${endpointIds}::uuid[]) AS e (id)`;
    const [row] = await statements.$queryRaw<{ pid: number; version: bigint }[]>`
      SELECT pg_backend_pid() AS pid, version FROM event_type_catalogue`;
    if (row === undefined) throw new Error('the database has no catalogue of event types');
    return new Life(statements, row.pid, merchantId, endpointIds, row.version);
  }

  reset(): void {
    this.#costs = nothing();
  }

  perRow(rows: number): Record<Step, Costs> {
    const of = ({ postgres, node }: Costs): Costs => ({ postgres: postgres / rows, node: node / rows });
    const { accept, claim, settle } = this.#costs;
    return { accept: of(accept), claim: of(claim), settle: of(settle) };
  }

  async round(rows: number): Promise<void> {
    const nowMs = Date.now();
    const deliveryIds = Array.from({ length: rows }, () => this.#ids.uuidAt(nowMs));
    const written = await this.#account('accept', () =>
      writeAccepted(this.statements, this.#batch(deliveryIds, nowMs), this.#clock),
    );
    if (written.kind !== 'written') throw new Error(`accept wrote nothing: ${written.kind}`);
    const wanted = deliveryIds.map((deliveryId) => ({
      deliveryId,
      leaseToken: randomUUID(),
      attemptId: this.#ids.uuidAt(nowMs),
    }));
    const rooms = { perEndpoint: 1_000, endpoints: [], perMerchant: 1_000, merchants: [] };
    const claimed = await this.#account('claim', () =>
      claimDeliveries(this.statements, 'fast', wanted, rooms),
    );
    if (claimed.length !== rows) throw new Error(`of ${rows} deliveries, ${claimed.length} were claimed`);
    await this.#account('settle', () => settleDeliveries(this.statements, claimed.map(succeeded)));
  }

  #batch(deliveryIds: readonly string[], nowMs: number) {
    const { merchantId, endpointIds } = this;
    return {
      merchants: [{ id: merchantId, configVersion: 1n }],
      catalogueVersion: this.catalogueVersion,
      apiKeyIds: [],
      idempotencyKeys: [],
      events: deliveryIds.map(() => ({
        id: this.#ids.uuidAt(nowMs),
        merchantId,
        type: USUAL_TYPE,
        data: this.#data,
        createdAtMs: nowMs,
        createdAtText: null,
        orderingKey: null,
        producerId: null,
        deliverAtMs: null,
        deliveryCount: 1,
        redact: [],
      })),
      deliveries: deliveryIds.map((id, eventIndex) => ({
        id,
        eventIndex,
        endpointId: endpointIds[eventIndex % endpointIds.length] as string,
        payloadFormat: 'envelope' as const,
        hasPayloadConflict: false,
        isHinted: true,
      })),
    };
  }

  async #account<Result>(step: Step, statement: () => Promise<Result>): Promise<Result> {
    const [before, ours] = [threadCpuUs(this.backendPid), process.cpuUsage()];
    const result = await statement();
    const { user, system } = process.cpuUsage(ours);
    this.#costs[step].postgres += threadCpuUs(this.backendPid) - before;
    this.#costs[step].node += user + system;
    return result;
  }
}

function nothing(): Record<Step, Costs> {
  return {
    accept: { postgres: 0, node: 0 },
    claim: { postgres: 0, node: 0 },
    settle: { postgres: 0, node: 0 },
  };
}

function succeeded(claim: Claimed) {
  return { claim, attempt: ATTEMPT, step: { kind: 'succeeded' } as const };
}

/** As a receiver of Node's gives rise to. */
const ATTEMPT: AttemptRecord = {
  outcome: 'succeeded',
  startedAtMs: Date.now(),
  durationMs: 5,
  statusCode: 200,
  errorCode: null,
  errorMessage: null,
  requestUrl: 'http://127.0.0.1/',
  requestHeaders: [
    ['content-type', 'application/json'],
    ['user-agent', 'Posthorn/0.0.0'],
    ['X-Posthorn-Event-Id', 'evt_00000000000000000000000000'],
    ['X-Posthorn-Event-Type', USUAL_TYPE],
    ['X-Posthorn-Delivery-Id', 'dlv_00000000000000000000000000'],
    ['X-Posthorn-Attempt', '1'],
    ['X-Posthorn-Signature', '***'],
  ],
  responseHeaders: [
    ['date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
    ['connection', 'keep-alive'],
    ['content-length', '0'],
  ],
  responseBody: new Uint8Array(),
  responseBodyTruncated: false,
  remoteAddress: '127.0.0.1',
};
