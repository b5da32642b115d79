/*
 * That merchants cannot see or touch one another, on every operation that the OpenAPI document of a running API names:
 * other merchants' ids in path, query and body, keys that are missing, dead or lack the scope, cursors of somebody else.
 * Each is refused in the one shape, shows nothing of the other merchant and changes nothing in the database; the same
 * request with the caller's own things is served, so nothing is refused for another reason. Nothing is doubled.
 *
 * A new route is covered by being documented. Where it takes ids of a kind that documented-operations.ts does not know,
 * the first test names it.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Installation, startInstallation } from '#testkit/processes.js';
import { type Receiver, startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis } from '#testkit/redis.js';
import { type Document, type Operation, readOperations, requestOf } from './documented-operations.js';
import { refusalProblems } from './error-shape.js';
import { StoredState } from './stored-state.js';
import { type Case, casesOf, type Cast } from './tenancy-cases.js';
import { makeTenant, newKey } from './tenants.js';
import { Wire, type WireAnswer } from './wire.js';

const MERCHANT_SCOPES = [
  'webhooks:read',
  'webhooks:write',
  'deliveries:read',
  'deliveries:retry',
  'secrets:read',
];
const PLATFORM_SCOPES = ['events:write', 'admin', ...MERCHANT_SCOPES];

let installation: Installation;
let receiver: Receiver;
let wire: Wire;
let state: StoredState;
let document: Document;
let operations: readonly Operation[];
let cast: Cast;

beforeAll(async () => {
  const queue = hasRedis() ? 'redis' : 'postgres';
  [installation, receiver] = await Promise.all([startInstallation({ queue }), startReceiver()]);
  wire = new Wire(installation.client.url, installation.platformKey);
  state = new StoredState(installation.database.databaseUrl);
  document = JSON.parse((await wire.call({ method: 'GET', path: '/openapi.json' })).text) as Document;
  operations = readOperations(document);
  cast = await makeCast();
}, 60_000);

afterAll(async () => {
  await Promise.all([wire.close(), state.close()]);
  await installation.close();
  await receiver.close();
}, 30_000);

async function makeCast(): Promise<Cast> {
  const { client, platformKey } = installation;
  const url = receiver.url('');
  const mine = await makeTenant(client, 'mine', url);
  const other = await makeTenant(client, 'canary-of-the-other', url);
  const keysWithout = async (merchant: string | null, scopes: readonly string[]) =>
    Object.fromEntries(
      await Promise.all(
        scopes.map(async (scope): Promise<[string, string]> => {
          const rest = scopes.filter((each) => each !== scope);
          return [scope, (await newKey(client, merchant, rest)).key];
        }),
      ),
    );
  const dead = await newKey(client, mine.things.merchant);
  const deadPlatform = await newKey(client, null);
  await client.delete(`/v1/merchants/${mine.things.merchant}/api-keys/${dead.id}`);
  await client.delete(`/v1/api-keys/${deadPlatform.id}`);
  return {
    mine,
    other,
    platformKey,
    url,
    revoked: { merchant: dead.key, platform: deadPlatform.key },
    without: {
      merchant: await keysWithout(mine.things.merchant, MERCHANT_SCOPES),
      platform: await keysWithout(null, PLATFORM_SCOPES),
    },
  };
}

test('every operation can be tried', () => {
  const protectedOnes = operations.filter(({ isPublic }) => !isPublic);
  expect(protectedOnes.length).toBeGreaterThan(20);
  expect(
    operations.filter(({ unknown }) => unknown.length > 0).map(({ name, unknown }) => [name, ...unknown]),
  ).toEqual([]);
});

test('an operation that the generator cannot fill is named', () => {
  const gadget = {
    parameters: [{ name: 'owner_id', in: 'query' }],
    security: [{ bearer: [] }],
    requestBody: {
      content: { 'application/json': { schema: { type: 'object', properties: { wheel_ids: {} } } } },
    },
  };
  const [operation] = readOperations({ paths: { '/v1/gadgets/{id}': { post: gadget } } });
  expect(operation?.name).toBe('POST /v1/gadgets/{id}');
  expect(operation?.unknown).toEqual([
    'it names no scope',
    'nobody knows what {id} of its path is an id of',
    'nobody knows what owner_id in the query is an id of',
    'nobody knows what wheel_ids in the body is an id of',
  ]);
});

test('what is not the caller’s is refused, unseen and unchanged', async () => {
  const counts = new Map<string, number>();
  const problems: string[] = [];
  for (const operation of operations.filter(({ isPublic }) => !isPublic)) {
    const before = await state.settledDigest();
    const ofCursors = await cursorCases(operation);
    if (operation.isList && operation.isForMerchants && !operation.isSharedList && ofCursors.length === 0)
      problems.push(`${operation.name}: the other merchant has no second page`);
    const cases = [...casesOf(document, operation, cast), ...ofCursors];
    for (const each of cases) {
      counts.set(each.group, (counts.get(each.group) ?? 0) + 1);
      problems.push(...problemsOf(each, await wire.call(each.call)));
    }
    const after = await state.digest();
    if (JSON.stringify(after) !== JSON.stringify(before))
      problems.push(`${operation.name} changed something`);
  }
  expect(problems).toEqual([]);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  expect(total).toBeGreaterThan(250);
  const lines = [...counts].map(([group, count]) => `  ${String(count).padStart(4)} ${group}`);
  process.stdout.write(`tenancy: ${total} tried and refused\n${lines.join('\n')}\n`);
}, 60_000);

function problemsOf({ operation, group, call, statuses }: Case, answer: WireAnswer): string[] {
  const what = `${operation}, ${group}, ${call.path}`;
  const problems = showsOther(answer).map((mark) => `${what}: shows ${mark}`);
  if (!statuses.includes(answer.status)) return [...problems, `${what}: answered ${answer.status}`];
  if (answer.status === 200) {
    const isEmpty = (JSON.parse(answer.text) as { data?: unknown[] }).data?.length === 0;
    return isEmpty ? problems : [...problems, `${what}: answered with rows`];
  }
  return [...problems, ...refusalProblems(answer).map((problem) => `${what}: ${problem}`)];
}

function showsOther({ text }: WireAnswer): string[] {
  return cast.other.marks.filter((mark) => text.includes(mark));
}

/** The other merchant's place in the same list; none when it has no second page. */
async function cursorCases(operation: Operation): Promise<Case[]> {
  if (!operation.isList || !operation.isForMerchants || operation.isSharedList) return [];
  const theirs = requestOf(document, operation, {
    things: cast.other.things,
    url: cast.url,
    query: 'limit=1',
  });
  const { text } = await wire.call({ ...theirs, key: cast.other.key });
  const { next_cursor: cursor } = JSON.parse(text) as { next_cursor?: string | null };
  if (typeof cursor !== 'string') return [];
  const filling = { things: cast.mine.things, url: cast.url, query: `cursor=${cursor}` };
  const request = requestOf(document, operation, filling);
  return [cast.mine.key, cast.platformKey].map((key) => ({
    operation: operation.name,
    group: "another merchant's cursor",
    call: { ...request, key },
    statuses: [422],
  }));
}

/** What ends something comes last, and what holds other things after them. */
const ORDER = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE'];

test('the same requests on the caller’s own things are served', async () => {
  const inOrder = operations
    .filter(({ isPublic }) => !isPublic)
    .toSorted(
      (a, b) =>
        ORDER.indexOf(a.method) - ORDER.indexOf(b.method) ||
        b.inPath.length - a.inPath.length ||
        Number(b.isForMerchants) - Number(a.isForMerchants),
    );
  const problems: string[] = [];
  for (const operation of inOrder) {
    const request = requestOf(document, operation, { things: cast.mine.things, url: cast.url });
    const answer = await wire.call({
      ...request,
      key: operation.isForMerchants ? cast.mine.key : cast.platformKey,
    });
    // A delivery may be final, so that there is nothing to cancel.
    if (answer.status >= 300 && answer.status !== 409)
      problems.push(`${operation.name}: ${answer.status} ${answer.text}`);
    if (!operation.isForMerchants) continue;
    problems.push(...showsOther(answer).map((mark) => `${operation.name} shows ${mark}`));
    if (operation.isList && !answer.text.includes('"data":[{')) problems.push(`${operation.name} is empty`);
  }
  expect(problems).toEqual([]);
}, 30_000);
