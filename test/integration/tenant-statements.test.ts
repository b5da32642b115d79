/*
 * That every statement which serves a merchant's key carries that merchant. Observed: the statements that reach
 * PostgreSQL while each operation of the OpenAPI document is called with a merchant's key on its own things. Doubled: the
 * queue. Not asserted: that the value which a statement carries is the right one; test/e2e/tenancy.test.ts asks for it.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { PrismaClient } from '#adapters/postgres/generated/client.js';
import { type ApiUnderTest, startApi } from '#api/api-harness.js';
import { ApiClient } from '#testkit/api-client.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type Document, readOperations, requestOf } from '../e2e/documented-operations.js';
import { makeTenant, type Tenant } from '../e2e/tenants.js';
import { Wire } from '../e2e/wire.js';

/** Tables whose rows belong to merchants. */
const TENANT_TABLES =
  /\b(?:api_keys|endpoints|endpoint_secrets|endpoint_gates|endpoint_sequences|events|deliveries|open_deliveries|attempts|idempotency_keys|recoveries|delivery_stats|audit_log)\b/;
const CARRIES_MERCHANT = /merchant_id"?(?:::\w+)?\s*(?:=|IN)|\bmerchant_id = ANY\b/i;

/** What may go without, and why: each takes its keys from rows that a statement with the merchant has just given. */
const WITHOUT: readonly ((sql: string, earlier: readonly string[]) => boolean)[] = [
  // Looks a key up by its hash, to learn whose it is.
  (sql) => sql.includes('WHERE k.key_hash = ANY'),
  // Writes the merchant with the row, or a row of an endpoint that it has just written.
  (sql) => sql.includes('INSERT INTO'),
  // Reads back the endpoint that it has just written.
  (sql, earlier) =>
    sql.includes('FROM "public"."endpoints" WHERE') &&
    earlier.some((each) => /INSERT INTO "public"\."endpoints"|UPDATE "public"\."endpoints"/.test(each)),
  // Reads the gates that belong to endpoints.
  (sql) =>
    /FROM "public"\."endpoint_gates" WHERE "public"\."endpoint_gates"\."endpoint_id" (?:IN|=)/.test(sql),
  // Reads what a worker needs of an endpoint, for a test call of the one that was just loaded.
  (sql) => sql.includes('AS "secretLiveForMs"'),
  // Marks the deliveries whose open rows have just been deleted.
  (sql, earlier) =>
    sql.includes("UPDATE deliveries SET status = 'cancelled'") &&
    earlier.some((each) => each.includes('DELETE FROM open_deliveries')),
];

let db: TestDatabase;
let api: ApiUnderTest;
let observed: PrismaClient;
let wire: Wire;
let tenant: Tenant;
let document: Document;
let statements: string[] = [];

beforeAll(async () => {
  db = await createTestDatabase();
  const pool = new pg.Pool({ connectionString: db.databaseUrl, max: 4 });
  observed = new PrismaClient({
    adapter: new PrismaPg(pool, { disposeExternalPool: true }),
    log: [{ emit: 'event', level: 'query' }],
  });
  (observed as PrismaClient<'query'>).$on('query', ({ query }) => statements.push(query));
  api = await startApi({ databaseUrl: db.databaseUrl, overrides: { database: observed } });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const url = await api.app.getUrl();
  wire = new Wire(url, api.platformKey);
  document = JSON.parse((await wire.call({ method: 'GET', path: '/openapi.json' })).text) as Document;
  tenant = await makeTenant(new ApiClient(url, api.platformKey), 'observed', 'http://127.0.0.1:9');
}, 60_000);

afterAll(async () => {
  await wire.close();
  await api.close();
  await observed.$disconnect();
  await db.drop();
});

test('every statement that serves a merchant carries it', async () => {
  const served = readOperations(document)
    .filter(({ isForMerchants, method }) => isForMerchants && method !== 'DELETE')
    .flatMap((operation) => {
      const queries = operation.inQuery.map(({ name, thing }) => `${name}=${tenant.things[thing]}`);
      const more = operation.isList ? ['limit=1', ...queries] : [];
      return [undefined, ...more].map((query) => ({ operation, query }));
    });
  const ending = readOperations(document)
    .filter(({ isForMerchants, method }) => isForMerchants && method === 'DELETE')
    .map((operation) => ({ operation, query: undefined }));
  const problems: string[] = [];
  let looked = 0;
  for (const { operation, query } of [...served, ...ending]) {
    statements = [];
    const filling = {
      things: tenant.things,
      url: 'http://127.0.0.1:9/',
      ...(query !== undefined && { query }),
    };
    const answer = await wire.call({ ...requestOf(document, operation, filling), key: tenant.key });
    // A recovery of the same deliveries may be running already.
    if (answer.status >= 300 && answer.status !== 409)
      problems.push(`${operation.name}: ${answer.status} ${answer.text}`);
    const ofTenants = statements.filter((sql) => TENANT_TABLES.test(sql));
    looked += ofTenants.length;
    const loose = ofTenants.filter(
      (sql, index) =>
        !CARRIES_MERCHANT.test(sql) && !WITHOUT.some((admits) => admits(sql, ofTenants.slice(0, index))),
    );
    problems.push(...loose.map((sql) => `${operation.name}?${query ?? ''}: ${sql.replace(/\s+/g, ' ')}`));
  }
  expect(problems).toEqual([]);
  expect(looked).toBeGreaterThan(50);
}, 30_000);
