/**
 * That a list which is searched in small steps has what it would have in one: for many filters, of every scope.
 *
 * Doubled: nothing; a real PostgreSQL. Observed: the pages of `DeliveryLog`, followed to their end, beside the same rows
 * filtered in memory. Not asserted: which way through the list was taken, and how long it took.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeliveryStatus, Outcome } from '#domain/attempt-outcome.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database, type Statements } from './database.js';
import { DeliveryLog } from './delivery-log.js';
import {
  addDelivery,
  addEndpoint,
  addMerchant,
  DAY_ONE_MS,
  DAY_TWO_MS,
  type DeliveryFixture,
} from './delivery-log-fixtures.js';
import type { DeliveryFilter } from './delivery-log-page.js';
import type { SearchLimits } from './delivery-log-walk.js';
import type { Prisma } from './generated/client.js';
import { ensurePartitions } from './partitions.js';

const SETUP_TIMEOUT_MS = 60_000;
const DELIVERIES = 300;
const STEP_ROWS = 7;
/** One step a call. */
const SMALL: SearchLimits = { chunkRows: STEP_ROWS, budgetMs: 0 };
const FATES = [
  { status: 'succeeded', outcome: 'succeeded', statusCode: 200 },
  { status: 'succeeded', outcome: 'succeeded', statusCode: 204 },
  { status: 'succeeded', outcome: 'http_error', statusCode: 500 },
  { status: 'failed', outcome: 'http_error', statusCode: 500 },
  { status: 'failed', outcome: 'timeout', statusCode: null },
  { status: 'cancelled', outcome: null, statusCode: null },
  { status: 'cancelled', outcome: 'http_error', statusCode: 503 },
  { status: 'retrying', outcome: 'http_error', statusCode: 500 },
  { status: 'retrying', outcome: 'timeout', statusCode: null },
  { status: 'pending', outcome: null, statusCode: null },
  { status: 'failed', outcome: 'timeout', statusCode: null, isOpen: true, isSingle: true },
] as const;
const TYPES = ['payment.success', 'payment.failed', 'refund.processed'] as const;

interface Row extends DeliveryFixture {
  readonly id: string;
  readonly eventId: string;
  readonly createdAtMs: number;
  /** As the API says it. */
  readonly shown: string;
}

let testDatabase: TestDatabase;
let db: Database;
let rows: Row[];
let owners: { readonly merchantId: string; readonly endpointId: string; readonly isPaused: boolean }[];

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 2);
  await ensurePartitions(db, DAY_ONE_MS);
  owners = [];
  for (let merchant = 0; merchant < 2; merchant += 1) {
    const merchantId = await addMerchant(db);
    for (const isPaused of [false, true]) {
      const endpointId = await addEndpoint(db, merchantId);
      if (isPaused) await db.endpointGate.update({ where: { endpointId }, data: { status: 'paused' } });
      owners.push({ merchantId, endpointId, isPaused });
    }
  }
  const added: Row[] = [];
  for (let n = 0; n < DELIVERIES; n += 1) {
    // Primes, so that everything comes with everything.
    const owner = at(owners, n);
    const fate = at(FATES, Math.floor(n / 3) * 5 + (n % 2));
    const createdAtMs = (n < DELIVERIES / 2 ? DAY_ONE_MS : DAY_TWO_MS) + n * 1_000;
    const { merchantId, endpointId, isPaused } = owner;
    const fixture = { merchantId, endpointId, eventType: at(TYPES, n * 7 + (n % 5)), createdAtMs, ...fate };
    const isOpen = fate.status === 'pending' || fate.status === 'retrying';
    added.push({
      ...fixture,
      ...(await addDelivery(db, fixture)),
      shown: isOpen && isPaused ? 'held' : fate.status,
    });
  }
  rows = added.toSorted((a, b) => (a.id < b.id ? 1 : -1));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

function at<Value>(values: readonly Value[], n: number): Value {
  return values[n % values.length] as Value;
}

const SCOPES = ['endpoint', 'merchant', 'platform'] as const;

function ofScope(scope: (typeof SCOPES)[number], n: number): DeliveryFilter {
  const { merchantId, endpointId } = at(owners, n);
  if (scope === 'endpoint') return { merchantId, endpointId };
  return scope === 'merchant' ? { merchantId } : {};
}

function expected(filter: DeliveryFilter): string[] {
  const is = <Value>(wanted: Value | undefined, value: Value): boolean =>
    wanted === undefined || wanted === value;
  return rows
    .filter(
      (row) =>
        is(filter.merchantId, row.merchantId) &&
        is(filter.endpointId, row.endpointId) &&
        is<string>(filter.status, row.shown) &&
        is<string | null | undefined>(filter.outcome, row.outcome) &&
        is<number | null | undefined>(filter.statusCode, row.statusCode) &&
        is(filter.eventType, row.eventType ?? '') &&
        (filter.eventIds === undefined || filter.eventIds.includes(row.eventId)) &&
        row.createdAtMs >= (filter.createdAfterMs ?? 0) &&
        row.createdAtMs < (filter.createdBeforeMs ?? Infinity),
    )
    .map(({ id }) => id);
}

/** The ids of each page. */
async function pagesOf(log: DeliveryLog, filter: DeliveryFilter, limit: number): Promise<string[][]> {
  const pages: string[][] = [];
  let beforeId: string | null = null;
  for (;;) {
    const { rows: found, searchedToId } = await log.list(filter, { beforeId, rowsMax: limit + 1 });
    const page = found.slice(0, limit).map(({ id }) => id);
    pages.push(page);
    const nextId: string | null = found.length > limit ? (page.at(-1) ?? null) : searchedToId;
    if (nextId === null) return pages;
    expect(beforeId === null || nextId < beforeId).toBe(true);
    beforeId = nextId;
  }
}

const statuses: DeliveryStatus[] = ['pending', 'retrying', 'held', 'succeeded', 'failed', 'cancelled'];
const outcomes: Outcome[] = ['succeeded', 'http_error', 'timeout', 'dns_error'];
const maybe = <Value>(values: readonly Value[]): fc.Arbitrary<Value | undefined> =>
  fc.option(fc.constantFrom(...values), { nil: undefined });
const filters = fc.record({
  status: maybe(statuses),
  outcome: maybe(outcomes),
  statusCode: maybe([200, 204, 500, 503, 599]),
  eventType: maybe([...TYPES, 'never.sent']),
  createdAfterMs: maybe([DAY_ONE_MS + 50_000, DAY_TWO_MS]),
  createdBeforeMs: maybe([DAY_TWO_MS, DAY_TWO_MS + 250_000]),
});

describe.each(SCOPES)('%s scope', (scope) => {
  test('steps of any filter come to what fits, in order, each one further', async () => {
    const log = new DeliveryLog(db, SMALL);
    await fc.assert(
      fc.asyncProperty(filters, fc.nat(), fc.constantFrom(1, 3, 50), async (values, n, limit) => {
        const filter = { ...ofScope(scope, n), ...values };
        const pages = await pagesOf(log, filter, limit);
        expect({ filter, ids: pages.flat() }).toEqual({ filter, ids: expected(filter) });
      }),
      { numRuns: 120 },
    );
  }, 60_000);

  test('of some events, with any filter', async () => {
    const log = new DeliveryLog(db, SMALL);
    await fc.assert(
      fc.asyncProperty(
        filters,
        fc.array(fc.nat(DELIVERIES - 1), { maxLength: 12 }),
        async (values, picked) => {
          const eventIds = picked.map((n) => at(rows, n).eventId);
          const filter = { ...ofScope(scope, picked[0] ?? 0), ...values, eventIds };
          expect((await pagesOf(log, filter, 2)).flat()).toEqual(expected(filter));
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  test('what is usual fills every page but the last', async () => {
    const log = new DeliveryLog(db);
    await fc.assert(
      fc.asyncProperty(filters, fc.nat(), async (values, n) => {
        const filter = { ...ofScope(scope, n), ...values };
        const ids = expected(filter);
        const full = Array.from({ length: Math.max(1, Math.ceil(ids.length / 10)) }, (_, page) =>
          ids.slice(page * 10, (page + 1) * 10),
        );
        expect({ filter, pages: await pagesOf(log, filter, 10) }).toEqual({ filter, pages: full });
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});

test('a call that is out of time says how far it has looked, and what it has found', async () => {
  const log = new DeliveryLog(db, SMALL);
  const page = { beforeId: null, rowsMax: 51 };
  const looked = rows.slice(0, STEP_ROWS);
  await expect(log.list({ status: 'succeeded' }, page)).resolves.toMatchObject({
    rows: looked.filter(({ shown }) => shown === 'succeeded').map(({ id }) => ({ id })),
    searchedToId: looked.at(-1)?.id,
  });
  // The time of many steps, which are taken in one call.
  const patient = new DeliveryLog(db, { chunkRows: STEP_ROWS, budgetMs: 60_000 });
  const all = await patient.list({ status: 'succeeded', statusCode: 500 }, page);
  expect(all.searchedToId).toBeNull();
  expect(all.rows.map(({ id }) => id)).toEqual(expected({ status: 'succeeded', statusCode: 500 }));
});

test('of several ways the one that ends first ends the search', async () => {
  let statements = 0;
  const counted: Statements = {
    $queryRaw: <Rows>(query: TemplateStringsArray | Prisma.Sql, ...values: readonly unknown[]) => {
      statements += 1;
      return db.$queryRaw<Rows>(query, ...values);
    },
    $executeRaw: () => Promise.reject(new Error('a list writes nothing')),
  };
  const log = new DeliveryLog(counted, { chunkRows: STEP_ROWS, budgetMs: 60_000 });
  const page = { beforeId: null, rowsMax: 11 };
  // There are many of the type, and none with the code: the code is looked at first.
  await expect(log.list({ statusCode: 599, eventType: 'payment.success' }, page)).resolves.toEqual({
    rows: [],
    searchedToId: null,
  });
  expect(statements).toBe(1);
  // And the other way round.
  await log.list({ statusCode: 500, eventType: 'never.sent' }, page);
  expect(statements).toBe(3);
});
