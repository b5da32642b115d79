import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseId } from '#domain/ids.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import type { MerchantView } from './merchant.schema.js';

let db: TestDatabase;
let api: ApiUnderTest;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl });
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

async function create(body: object): Promise<MerchantView> {
  const answer = await api.call<MerchantView>('POST /v1/merchants', { body });
  expect(answer.status).toBe(201);
  return answer.body;
}

function uuidOf(id: string): string {
  return parseId('mrc', id) ?? '';
}

/** An endpoint as another call would have made it. */
async function endpointOf(merchantId: string): Promise<string> {
  const { id } = await api.database.endpoint.create({
    data: {
      id: crypto.randomUUID(),
      merchantId,
      url: 'https://example.com/',
      events: ['*'],
      gate: { create: { merchantId } },
    },
  });
  return id;
}

describe('create and read', () => {
  test('with nothing but a name', async () => {
    const merchant = await create({ name: 'Acme' });
    expect(merchant).toEqual({
      id: expect.stringMatching(/^mrc_[0-7][0-9a-z]{25}$/),
      name: 'Acme',
      external_id: null,
      dialect: 'posthorn',
      payload_retention_days: null,
      metadata: {},
      status: 'active',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updated_at: merchant.created_at,
    });
    expect(await api.call(`GET /v1/merchants/${merchant.id}`)).toMatchObject({ status: 200, body: merchant });
  });

  test('with everything', async () => {
    const given = {
      name: 'Бренд',
      external_id: 'acct/42',
      dialect: 'fiatsend',
      metadata: { tier: 'gold', '': '' },
    };
    expect(await api.call('POST /v1/merchants', { body: given })).toMatchObject({ status: 422 });
    const right = { ...given, metadata: { tier: 'gold', constructor: 'x' } };
    expect(await create(right)).toMatchObject(right);
  });

  test('an external id belongs to one merchant', async () => {
    const first = await create({ name: 'A', external_id: 'one' });
    const second = await create({ name: 'B' });
    const conflict = { status: 409, body: { code: 'conflict' } };
    expect(await api.call('POST /v1/merchants', { body: { name: 'C', external_id: 'one' } })).toMatchObject(
      conflict,
    );
    const path = `PATCH /v1/merchants/${second.id}`;
    expect(await api.call(path, { body: { external_id: 'one' } })).toMatchObject(conflict);
    expect(await api.call(path, { body: { external_id: 'two' } })).toMatchObject({ status: 200 });
    expect(await api.call(`PATCH /v1/merchants/${first.id}`, { body: { external_id: null } })).toMatchObject({
      status: 200,
      body: { external_id: null },
    });
  });

  test.each([
    "Robert'); DROP TABLE merchants;--",
    '%s%n${7*7}{{7*7}}',
    '<script>alert(1)</script>',
    '../../etc/passwd',
    'null',
    'undefined',
    '\u202eright to left',
    'zalgo \u0321\u0313\u0489',
    '\ufeff\u200b\u2028',
    '\u{1f469}\u200d\u{1f4bb}',
    '\\u0000 \\x00 \t\n',
    '\u0001\u001f\u007f\u0085',
  ])('%j comes back as it was', async (text) => {
    const given = { name: text, metadata: { note: text } };
    const { id } = await create(given);
    expect(await api.call(`GET /v1/merchants/${id}`)).toMatchObject({ body: given });
  });
});

describe('change', () => {
  test('only what is named', async () => {
    const merchant = await create({ name: 'Acme', external_id: 'change', metadata: { a: '1' } });
    const { body } = await api.call<MerchantView>(`PATCH /v1/merchants/${merchant.id}`, {
      body: { name: 'Other' },
    });
    expect(body).toEqual({ ...merchant, name: 'Other', updated_at: body.updated_at });
    expect(Date.parse(body.updated_at)).toBeGreaterThanOrEqual(Date.parse(merchant.updated_at));
  });

  test('a new dialect is told to every process by the versions', async () => {
    const merchant = await create({ name: 'Acme' });
    const id = uuidOf(merchant.id);
    const endpointId = await endpointOf(id);
    const versions = async (): Promise<bigint[]> => {
      const row = await api.database.merchant.findUniqueOrThrow({ where: { id } });
      const endpoint = await api.database.endpoint.findUniqueOrThrow({ where: { id: endpointId } });
      return [row.configVersion, endpoint.version];
    };
    const patch = (body: object): Promise<unknown> =>
      api.call(`PATCH /v1/merchants/${merchant.id}`, { body });
    const before = await versions();
    await patch({ name: 'Other', dialect: 'posthorn' });
    expect(await versions()).toEqual(before);
    await patch({ dialect: 'gateway' });
    expect(await versions()).toEqual(before.map((version) => version + 1n));
  });
});

describe('list', () => {
  test('newest first, page by page, each merchant once', async () => {
    const made: string[] = [];
    for (const name of ['1', '2', '3', '4', '5']) made.push((await create({ name })).id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await api.call<{ data: MerchantView[]; next_cursor: string | null }>(
        `GET /v1/merchants?limit=2${query}`,
      );
      expect(body.data.length).toBeLessThanOrEqual(2);
      seen.push(...body.data.map(({ id }) => id));
      cursor = body.next_cursor;
    } while (cursor !== null);
    expect(seen.slice(0, 5)).toEqual(made.reverse());
    expect(seen).toEqual([...new Set(seen)].sort().reverse());
    // The operator has a row of its own and is no merchant.
    expect(seen).toHaveLength((await api.database.merchant.count()) - 1);
  });
});

test('erasing: keys are dead, endpoints are off, nothing new is taken', async () => {
  const { id, key } = await api.merchant();
  const endpointId = await endpointOf(uuidOf(id));
  const before = await api.database.merchant.findUniqueOrThrow({ where: { id: uuidOf(id) } });
  // A merchant key has no admin scope: known, and so 403.
  expect(await api.call('GET /v1/merchants', { key })).toMatchObject({ status: 403 });

  expect(await api.call(`DELETE /v1/merchants/${id}`)).toMatchObject({
    status: 202,
    body: { status: 'erasing' },
  });
  expect(await api.call('GET /v1/merchants', { key })).toMatchObject({ status: 401 });
  expect(await api.call(`GET /v1/merchants/${id}`)).toMatchObject({
    status: 200,
    body: { status: 'erasing' },
  });
  expect(await api.call(`DELETE /v1/merchants/${id}`)).toMatchObject({ status: 202 });
  const conflict = { status: 409, body: { code: 'conflict' } };
  expect(await api.call(`PATCH /v1/merchants/${id}`, { body: { name: 'x' } })).toMatchObject(conflict);
  expect(await api.call(`POST /v1/merchants/${id}/api-keys`, { body: { name: 'x' } })).toMatchObject(
    conflict,
  );
  const event = { merchant_id: id, type: 'payment.success', data: {} };
  expect(await api.call('POST /v1/events', { body: event })).toMatchObject({ status: 404 });

  const endpoint = await api.database.endpoint.findUniqueOrThrow({
    where: { id: endpointId },
    include: { gate: true },
  });
  expect(endpoint).toMatchObject({
    status: 'disabled',
    disabledReason: 'manual',
    gate: { status: 'disabled' },
  });
  const after = await api.database.merchant.findUniqueOrThrow({ where: { id: before.id } });
  expect(after.configVersion).toBeGreaterThan(before.configVersion);
});
