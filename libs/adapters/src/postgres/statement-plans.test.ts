// Observed: the plans of the statements that the pipeline itself sends, as PostgreSQL's auto_explain tells them, with
// partitions for nine days in place. Not asserted: costs and times.
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import type { AttemptRecord } from '#pipeline/delivery-store.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type PipelineRig, startPipelineRig } from '#testkit/pipeline-rig.js';
import { claimDeliveries } from './claim-deliveries.js';
import { findEvents } from './find-accepted.js';
import { PrismaClient } from './generated/client.js';
import { reconcileLeases } from './reconcile-leases.js';
import { settleDeliveries } from './settle-deliveries.js';

const LOG_TABLES = ['events', 'deliveries', 'attempts'];

let db: TestDatabase;
let rig: PipelineRig;
let explained: PrismaClient;

beforeAll(async () => {
  db = await createTestDatabase();
  rig = await startPipelineRig({ databaseUrl: db.databaseUrl });
}, 60_000);

afterEach(() => explained.$disconnect());

afterAll(async () => {
  await rig.close();
  await db.drop();
});

const ATTEMPT: AttemptRecord = {
  outcome: 'succeeded',
  startedAtMs: Date.now(),
  durationMs: 1,
  statusCode: 200,
  errorCode: null,
  errorMessage: null,
  requestUrl: 'http://example.com',
  requestHeaders: [],
  responseHeaders: [],
  responseBody: null,
  responseBodyTruncated: false,
  remoteAddress: null,
};

/** How many partitions of a log table a plan reads. */
function partitionsRead(plan: string, table: string): number {
  const scans = plan.matchAll(new RegExp(`(?:Scan|Update|Delete)[^\\n]* on (${table}_p\\d{8})`, 'g'));
  return new Set([...scans].map(([, name]) => name)).size;
}

/** A client whose plans are told. `mode` is how PostgreSQL plans what is prepared: for each call, or once for all. */
function explain(mode: string, plans: string[]): PrismaClient {
  const pool = new pg.Pool({
    connectionString: db.databaseUrl,
    options:
      '-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0' +
      ` -c auto_explain.log_analyze=on -c auto_explain.log_level=notice -c plan_cache_mode=${mode}`,
  });
  pool.on('connect', (client) => client.on('notice', ({ message }) => plans.push(message ?? '')));
  return new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) });
}

test.each(['force_custom_plan', 'force_generic_plan'])(
  'statements on many ids read at most two partitions of each log table: %s',
  async (mode) => {
    const plans: string[] = [];
    explained = explain(mode, plans);
    const merchantId = await rig.merchant();
    await rig.endpoint(merchantId, 'http://127.0.0.1:9/', { maxInFlight: 300 });
    rig.queue.mode = 'lose';
    await rig.send(...Array.from({ length: 300 }, () => rig.draft(merchantId)));
    await rig.database.$executeRawUnsafe('ANALYZE');
    const open = await rig.database.$queryRaw<{ deliveryId: string; eventId: string }[]>`
    SELECT delivery_id AS "deliveryId", event_id AS "eventId" FROM open_deliveries
    WHERE merchant_id = ${merchantId}::uuid`;

    const claimed = await claimDeliveries(
      explained,
      'fast',
      open.map(({ deliveryId }) => ({ deliveryId, leaseToken: rig.ids.uuid(), attemptId: rig.ids.uuid() })),
      { perEndpoint: 300, endpoints: [], perMerchant: 300, merchants: [] },
    );
    expect(claimed).toHaveLength(300);
    const settled = await settleDeliveries(
      explained,
      claimed
        .slice(0, 200)
        .map((claim) => ({ claim, attempt: ATTEMPT, step: { kind: 'succeeded' as const } })),
    );
    expect(settled).toEqual(settled.map(() => ({ kind: 'final' })));
    const leaseTokens = claimed.slice(200).map(({ leaseToken }) => leaseToken);
    expect(await reconcileLeases(explained, { deliveriesMax: 100, leaseTokens })).toBe(100);
    expect(
      await findEvents(
        explained,
        open.map(({ eventId }) => eventId),
      ),
    ).toHaveLength(300);

    const ofLogs = plans.filter((plan) => LOG_TABLES.some((table) => partitionsRead(plan, table) > 0));
    // Claim and find read events; settle and reconcile update deliveries.
    expect(ofLogs.length).toBeGreaterThanOrEqual(4);
    const read = ofLogs.map((plan) => LOG_TABLES.map((table) => partitionsRead(plan, table)));
    for (const [index, counts] of read.entries()) {
      if (Math.max(...counts) > 2)
        throw new Error(`a statement reads ${counts.join(', ')} partitions:\n${ofLogs[index]}`);
    }
  },
);
