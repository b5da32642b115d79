/**
 * That listing deliveries never scans the log, and never sorts more than about a page.
 *
 * Doubled: nothing; a real PostgreSQL with two full days and its statistics. Observed: the plans that it chose, with
 * the rows that each node really saw, of the very statements that the API runs. Not asserted: which index was taken
 * where several would do, and how long anything took.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { CHUNK_COLUMNS, withDetails } from '#adapters/postgres/delivery-log.js';
import { DAY_ONE_MS, DAY_TWO_MS, testIds } from '#adapters/postgres/delivery-log-fixtures.js';
import { type DeliveryFilter, listWalks } from '#adapters/postgres/delivery-log-page.js';
import { SEARCH_LIMITS } from '#adapters/postgres/delivery-log-walk.js';
import { Prisma } from '#adapters/postgres/generated/client.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';

const MERCHANTS = 200;
const ENDPOINTS_PER_MERCHANT = 2;
const DELIVERIES_PER_DAY = 10_000;
const EVENT_TYPES = [
  'payment.success',
  'payment.failed',
  'refund.processed',
  'transfer.success',
  'payout.sent',
];
/** Few, as a page is of a real log: the planner weighs it against the rows that fit. */
const PAGE_ROWS = 10;
/** What the planner believes to be about a page it may fetch whole and sort; its belief is only so good. */
const SORTED_ROWS_MAX = 5 * PAGE_ROWS;
const HOUR_MS = 3_600_000;

let testDatabase: TestDatabase;
let db: Database;
const scopes: Record<'endpoint' | 'merchant' | 'platform', DeliveryFilter> = {
  endpoint: {},
  merchant: {},
  platform: {},
};
let pausedEndpointId: string;
let eventId: string;
let middleId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 2);
  await ensurePartitions(db, DAY_ONE_MS);
  // One of each merchant's endpoints is paused.
  const endpoints = Array.from({ length: MERCHANTS }, () => testIds.uuid()).flatMap((merchantId) =>
    Array.from({ length: ENDPOINTS_PER_MERCHANT }, (_, n) => ({
      merchantId,
      endpointId: testIds.uuid(),
      status: n === 1 ? 'paused' : 'enabled',
    })),
  );
  await addEndpoints(endpoints);
  for (const dayMs of [DAY_ONE_MS, DAY_TWO_MS]) await fillDay(dayMs, endpoints);
  await db.$executeRaw`ANALYZE`;
  const [mine, paused] = endpoints;
  if (mine === undefined || paused === undefined) throw new Error('there are no endpoints');
  pausedEndpointId = paused.endpointId;
  scopes.endpoint = { merchantId: mine.merchantId, endpointId: mine.endpointId };
  scopes.merchant = { merchantId: mine.merchantId };
  const [row] = await db.$queryRaw<{ id: string; eventId: string }[]>`
    SELECT id, event_id AS "eventId" FROM deliveries
    WHERE endpoint_id = ${mine.endpointId}::uuid ORDER BY id OFFSET 20 LIMIT 1`;
  if (row === undefined) throw new Error('there are no deliveries');
  eventId = row.eventId;
  middleId = row.id;
}, 60_000);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

async function addEndpoints(
  endpoints: readonly { merchantId: string; endpointId: string; status: string }[],
): Promise<void> {
  const ids = endpoints.map(({ endpointId }) => endpointId);
  const merchantIds = endpoints.map(({ merchantId }) => merchantId);
  await db.$executeRaw`
    INSERT INTO merchants (id, name) SELECT DISTINCT id, 'Shop' FROM unnest(${merchantIds}::uuid[]) AS m (id)`;
  await db.$executeRaw`
    INSERT INTO endpoints (id, merchant_id, url, events)
    SELECT id, merchant_id, 'https://shop.example', ARRAY['*']
    FROM unnest(${ids}::uuid[], ${merchantIds}::uuid[]) AS e (id, merchant_id)`;
  await db.$executeRaw`
    INSERT INTO endpoint_gates (endpoint_id, merchant_id, status)
    SELECT * FROM unnest(${ids}::uuid[], ${merchantIds}::uuid[], ${endpoints.map(({ status }) => status)}::text[])`;
}

/** A day as a healthy platform has it: nearly all delivered at once, few failed, few still open. */
async function fillDay(
  dayMs: number,
  endpoints: readonly { merchantId: string; endpointId: string }[],
): Promise<void> {
  const rows = Array.from({ length: DELIVERIES_PER_DAY }, (_, n) => {
    const ms = dayMs + Math.floor((n / DELIVERIES_PER_DAY) * 24 * HOUR_MS);
    const endpoint = endpoints[(n * 7) % endpoints.length];
    if (endpoint === undefined) throw new Error('no such endpoint');
    return {
      ...endpoint,
      ...fate(n),
      id: testIds.uuidAt(ms),
      eventId: testIds.uuidAt(ms),
      type: EVENT_TYPES[n % EVENT_TYPES.length] ?? '',
    };
  });
  const of = <Value>(read: (row: (typeof rows)[number]) => Value): Value[] => rows.map(read);
  await db.$executeRaw`
    INSERT INTO events (id, merchant_id, type, data, created_at, delivery_count)
    SELECT id, merchant_id, type, '{}', now(), 1
    FROM unnest(${of((row) => row.eventId)}::uuid[], ${of((row) => row.merchantId)}::uuid[],
                ${of((row) => row.type)}::text[]) AS e (id, merchant_id, type)`;
  await db.$executeRaw`
    INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status, last_outcome,
                            last_status_code)
    SELECT id, event_id, endpoint_id, merchant_id, type, 'envelope', status, outcome, status_code
    FROM unnest(${of((row) => row.id)}::uuid[], ${of((row) => row.eventId)}::uuid[],
                ${of((row) => row.endpointId)}::uuid[], ${of((row) => row.merchantId)}::uuid[],
                ${of((row) => row.type)}::text[], ${of((row) => row.status)}::text[],
                ${of((row) => row.outcome)}::text[], ${of((row) => row.statusCode)}::int[])
         AS d (id, event_id, endpoint_id, merchant_id, type, status, outcome, status_code)`;
  await db.$executeRaw`
    INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, payload_format,
                                 data_bytes)
    SELECT id, event_id, endpoint_id, merchant_id, now(), now(), payload_format, 2 FROM deliveries
    WHERE status IN ('pending', 'retrying') ON CONFLICT DO NOTHING`;
}

function fate(n: number): { status: string; outcome: string | null; statusCode: number | null } {
  switch (n % 101) {
    case 0:
      return { status: 'failed', outcome: 'http_error', statusCode: 500 };
    case 1:
      return { status: 'failed', outcome: 'timeout', statusCode: null };
    case 2:
      return { status: 'cancelled', outcome: null, statusCode: null };
    case 3:
      return { status: 'pending', outcome: null, statusCode: null };
    case 4:
      return { status: 'retrying', outcome: 'http_error', statusCode: 503 };
    default:
      return { status: 'succeeded', outcome: 'succeeded', statusCode: 200 };
  }
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** The first chunk of each way through the list. */
async function explainAll(filter: DeliveryFilter, beforeId: string | null = null): Promise<PlanNode[][]> {
  const plans: PlanNode[][] = [];
  for (const walk of listWalks(filter)) {
    const chunk = walk.chunk({ beforeId, rowsMax: PAGE_ROWS }, SEARCH_LIMITS.chunkRows);
    if (chunk === null) throw new Error('the filter asks for nothing');
    const statement = withDetails(chunk, filter.merchantId, CHUNK_COLUMNS);
    const [row] = await db.$queryRaw<{ 'QUERY PLAN': [{ Plan: PlanNode }] }[]>(
      Prisma.sql`EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) ${statement}`,
    );
    if (row === undefined) throw new Error('there is no plan');
    plans.push(flatten(row['QUERY PLAN'][0].Plan));
  }
  return plans;
}

async function explain(filter: DeliveryFilter, beforeId: string | null = null): Promise<PlanNode[]> {
  const [plan, ...others] = await explainAll(filter, beforeId);
  if (plan === undefined || others.length > 0) throw new Error('there is not one way');
  return plan;
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}

/** Partitions of the two days that have rows; to scan an empty one is as good as anything. */
function isLog(node: PlanNode): boolean {
  return /^(?:events|deliveries|attempts)_p2026030[12]$/.test(node['Relation Name'] ?? '');
}

/** Days of the log's partitions that a plan names, whether they were looked at in the end or not. */
function days(plan: readonly PlanNode[]): string[] {
  const names = plan
    .filter((node) => node['Relation Name']?.startsWith('deliveries'))
    .map((node) => node['Relation Name']);
  return [...new Set(names.map((name) => /\d{8}/.exec(name ?? '')?.[0] ?? ''))].sort();
}

function expectNoScan(plan: readonly PlanNode[]): void {
  expect(plan.filter((node) => isLog(node) && node['Node Type'] === 'Seq Scan')).toEqual([]);
  const sorted = plan
    .filter((node) => node['Node Type'].includes('Sort'))
    .flatMap((node) => node.Plans ?? []);
  expect(sorted.filter((node) => node['Actual Rows'] > SORTED_ROWS_MAX)).toEqual([]);
  const read = plan.filter((node) => isLog(node) && node['Node Type'].includes('Index'));
  expect(read.length).toBeGreaterThan(0);
}

/** Rows of the log that were looked at and then not wanted. */
function wasted(plan: readonly PlanNode[]): number {
  return plan
    .filter(isLog)
    .reduce((sum, node) => sum + (node['Rows Removed by Filter'] ?? 0) * node['Actual Loops'], 0);
}

/** Each filter of the API alone, and how many rows of the log may be walked past for a page of it. */
const FILTERS: readonly (readonly [name: string, filter: () => DeliveryFilter, wastedMax: number])[] = [
  ['no filter', () => ({}), 0],
  // Walks what is open, which is few; the other half of it is retrying.
  ['status=pending', () => ({ status: 'pending' }), 2 * PAGE_ROWS],
  ['status=retrying', () => ({ status: 'retrying' }), 2 * PAGE_ROWS],
  ['status=held', () => ({ status: 'held' }), PAGE_ROWS],
  // Walks the log itself, in which nearly everything has succeeded.
  ['status=succeeded', () => ({ status: 'succeeded' }), PAGE_ROWS],
  ['status=failed', () => ({ status: 'failed' }), 0],
  ['status=cancelled', () => ({ status: 'cancelled' }), 0],
  ['outcome=succeeded', () => ({ outcome: 'succeeded' }), PAGE_ROWS],
  ['outcome=timeout', () => ({ outcome: 'timeout' }), 0],
  ['outcome=dns_error, which there is none of', () => ({ outcome: 'dns_error' }), 0],
  ['status_code=200', () => ({ statusCode: 200 }), PAGE_ROWS],
  ['status_code=500', () => ({ statusCode: 500 }), 0],
  // A common type may be found by walking the newest; a rare one has to be found by its index.
  ['event_type', () => ({ eventType: 'refund.processed' }), PAGE_ROWS * EVENT_TYPES.length],
  ['event_type, which there is none of', () => ({ eventType: 'never.sent' }), 0],
  ['event_id', () => ({ eventIds: [eventId] }), ENDPOINTS_PER_MERCHANT],
  ['created_after', () => ({ createdAfterMs: DAY_TWO_MS + 12 * HOUR_MS }), 0],
  ['created_before', () => ({ createdBeforeMs: DAY_ONE_MS + 12 * HOUR_MS }), 0],
];

describe.each(['endpoint', 'merchant', 'platform'] as const)('%s scope', (scope) => {
  test.each(FILTERS)('%s', async (_, filter, wastedMax) => {
    const plan = await explain({ ...scopes[scope], ...filter() });
    expectNoScan(plan);
    expect(wasted(plan)).toBeLessThanOrEqual(wastedMax);
  });

  test('a later page', async () => {
    const plan = await explain(scopes[scope], middleId);
    expectNoScan(plan);
    expect(wasted(plan)).toBe(0);
    expect(days(plan)).not.toContain('20260302');
  });

  test('everything at once', async () => {
    const plans = await explainAll({
      ...scopes[scope],
      status: 'failed',
      outcome: 'http_error',
      statusCode: 500,
      eventType: 'payment.success',
      createdAfterMs: DAY_ONE_MS,
      createdBeforeMs: DAY_TWO_MS,
    });
    expect(plans).toHaveLength(4);
    for (const plan of plans) expectNoScan(plan);
  });

  test.each<[string, DeliveryFilter]>([
    ['two values', { status: 'failed', statusCode: 503 }],
    ['a common value and a rare one', { status: 'succeeded', outcome: 'timeout' }],
    ['a value and a type', { eventType: 'payment.failed', statusCode: 500 }],
    ['common values', { status: 'succeeded', statusCode: 200 }],
  ])('%s: each way walks one index, in its order', async (_, filter) => {
    for (const plan of await explainAll({ ...scopes[scope], ...filter })) {
      expectNoScan(plan);
      const numbered = plan.filter((node) => node['Node Type'] === 'WindowAgg');
      expect(numbered).toHaveLength(1);
      // What the index yields is what is looked at: nothing is passed over below.
      expect(wasted(plan)).toBe(0);
    }
  });
});

test('what is held of a paused endpoint is found without a scan, and is nothing else', async () => {
  const filter = { merchantId: scopes.merchant.merchantId, endpointId: pausedEndpointId };
  for (const [status, rows] of [
    ['held', PAGE_ROWS],
    ['pending', 0],
    ['retrying', 0],
  ] as const) {
    const plan = await explain({ ...filter, status });
    expectNoScan(plan);
    expect(wasted(plan)).toBe(0);
    expect({ status, rows: plan[0]?.['Actual Rows'] }).toEqual({
      status,
      rows: Math.min(rows, await openOf(pausedEndpointId)),
    });
  }
});

async function openOf(endpointId: string): Promise<number> {
  const [row] = await db.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM open_deliveries WHERE endpoint_id = ${endpointId}::uuid`;
  return row?.count ?? 0;
}

describe('partitions', () => {
  test('outside of a range of time are not in the plan', async () => {
    const dayTwo = { createdAfterMs: DAY_TWO_MS + HOUR_MS, createdBeforeMs: DAY_TWO_MS + 2 * HOUR_MS };
    expect(days(await explain(dayTwo))).toEqual(['20260302']);
    expect(
      days(await explain({ createdAfterMs: DAY_TWO_MS - HOUR_MS, createdBeforeMs: DAY_TWO_MS + 1 })),
    ).toEqual(['20260301', '20260302']);
    expect(days(await explain({ ...dayTwo, ...scopes.merchant, status: 'failed' }))).toEqual(['20260302']);
    expect(days(await explain({ ...dayTwo, status: 'pending' }))).toEqual(['20260302']);
  });

  test('other than the event’s own are not in the plan of its deliveries', async () => {
    expect(days(await explain({ eventIds: [eventId] }))).toEqual(['20260301']);
  });
});

test('what no delivery can be is not looked for', () => {
  expect(listWalks({ status: 'pending', outcome: 'timeout' })).toEqual([]);
  expect(listWalks({ status: 'pending', statusCode: 500 })).toEqual([]);
  expect(listWalks({ status: 'failed', outcome: 'succeeded' })).toEqual([]);
  expect(listWalks({ status: 'succeeded', outcome: 'timeout' })).toHaveLength(1);
});

test('what a large endpoint has none of is looked for among its own, and not in the whole log', async () => {
  const dayMs = DAY_TWO_MS + 24 * HOUR_MS;
  const large = { merchantId: testIds.uuid(), endpointId: testIds.uuid() };
  // Every third delivery is one of it, and it never answers 200; all the others do.
  await db.$executeRaw`
    INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status, last_outcome,
                            last_status_code)
    SELECT id, id, CASE WHEN n % 3 = 0 THEN ${large.endpointId}::uuid ELSE gen_random_uuid() END,
           CASE WHEN n % 3 = 0 THEN ${large.merchantId}::uuid ELSE gen_random_uuid() END, ${EVENT_TYPES[0]}, 'envelope',
           'succeeded', 'succeeded', CASE WHEN n % 3 = 0 THEN 204 ELSE 200 END
    FROM unnest(${Array.from({ length: DELIVERIES_PER_DAY }, (_, n) => testIds.uuidAt(dayMs + n * 1_000))}::uuid[])
         WITH ORDINALITY AS rows (id, n)`;
  await db.$executeRaw`ANALYZE deliveries_p20260303`;
  for (const scope of [large, { merchantId: large.merchantId }]) {
    const plan = await explain({ ...scope, statusCode: 200, createdAfterMs: dayMs });
    const read = plan.filter((node) => node['Relation Name'] === 'deliveries_p20260303');
    expect(read).not.toEqual([]);
    const removed = read.reduce((sum, node) => sum + (node['Rows Removed by Filter'] ?? 0), 0);
    expect(removed).toBeLessThanOrEqual(DELIVERIES_PER_DAY / 3);
  }
});
