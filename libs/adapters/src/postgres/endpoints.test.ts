import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { NO_EVIDENCE } from '#domain/endpoint-health.js';
import { IdMaker } from '#domain/ids.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database } from './database.js';
import { addDelivery, addMerchant, DAY_ONE_MS, statusOf } from './delivery-log-fixtures.js';
import {
  type EndpointChanges,
  EndpointRepository,
  ENDPOINTS_PER_MERCHANT_MAX,
  type NewEndpoint,
} from './endpoints.js';
import { loadSubscriptions, loadTargets } from './endpoints-load.js';
import { openClientCertificate, type EndpointRecord } from './endpoints-record.js';
import { ensurePartitions } from './partitions.js';

/** Not secret at all, but as particular about the row as the real one. */
const box: SecretBox = {
  seal: (plain, rowId) => new Uint8Array(Buffer.from(`${rowId}|${Buffer.from(plain).toString('base64')}`)),
  open: (sealed, rowId) => {
    const [owner, plain = ''] = Buffer.from(sealed).toString().split('|');
    if (owner !== rowId) throw new Error('sealed for another row');
    return Buffer.from(plain, 'base64');
  },
};

const PLAIN: NewEndpoint = {
  url: 'https://shop.example/hook',
  events: ['payment.*'],
  description: null,
  overrides: { dialect: null, payloadFormat: null, signatures: null, retryScheduleSeconds: null },
  timeoutMs: 10_000,
  rateLimitPerSecond: null,
  maxInFlight: 100,
  headers: [],
  clientCertificate: null,
  filter: null,
  successStatuses: null,
  requiredResponse: null,
  metadata: {},
  secret: 'a secret of the shop',
};

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;

let testDatabase: TestDatabase;
let db: Database;
let endpoints: EndpointRepository;
let merchantId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  db = connectDatabase(testDatabase.databaseUrl, 6);
  await ensurePartitions(db, DAY_ONE_MS);
  const ids = new IdMaker(
    () => Date.now(),
    (n) => randomBytes(n),
  );
  endpoints = new EndpointRepository(db, box, ids);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await db.$disconnect();
  await testDatabase.drop();
});

beforeEach(async () => {
  merchantId = await addMerchant(db, 'gateway');
});

async function create(endpoint: Partial<NewEndpoint> = {}): Promise<EndpointRecord> {
  const created = await db.$transaction((tx) =>
    endpoints.create(tx, merchantId, () => ({ ...PLAIN, ...endpoint })),
  );
  if (created.kind !== 'created') throw new Error(created.kind);
  return created.endpoint;
}

function update(id: string, changes: EndpointChanges): Promise<EndpointRecord | null> {
  return endpoints.update({ id }, () => changes);
}

async function versions(id: string): Promise<{ endpoint: bigint; merchant: bigint }> {
  const row = await db.endpoint.findUniqueOrThrow({ where: { id }, include: { merchant: true } });
  return { endpoint: row.version, merchant: row.merchant.configVersion };
}

async function gateStatus(endpointId: string): Promise<string> {
  return (await db.endpointGate.findUniqueOrThrow({ where: { endpointId } })).status;
}

describe('create', () => {
  test('makes the endpoint with its gate and sealed secret, and raises the merchant’s version', async () => {
    const headers = [
      ['X-Team', 'payments'],
      ['x-2', 'b'],
    ] as const;
    const endpoint = await create({ headers, metadata: { shop: '7' }, description: 'main' });
    expect(endpoint).toMatchObject({
      merchantId,
      merchantDialect: 'gateway',
      url: PLAIN.url,
      events: ['payment.*'],
      description: 'main',
      status: 'enabled',
      disabledReason: null,
      headers,
      metadata: { shop: '7' },
      rateLimitPerSecond: null,
      maxInFlight: 100,
      health: NO_EVIDENCE,
    });
    await expect(endpoints.get({ id: endpoint.id, merchantId })).resolves.toEqual(endpoint);
    await expect(gateStatus(endpoint.id)).resolves.toBe('enabled');
    await expect(versions(endpoint.id)).resolves.toEqual({ endpoint: 1n, merchant: 2n });
    const target = (await loadTargets(db, [endpoint.id])).get(endpoint.id);
    const [secret] = target?.secrets ?? [];
    expect(secret && Buffer.from(box.open(secret.sealed, secret.id)).toString()).toBe(PLAIN.secret);
    expect(endpoint.createdAt.getTime()).toBe(endpoint.updatedAt.getTime());
  });

  test('gives the merchant’s dialect to the decision and undoes everything when that throws', async () => {
    const refused = db.$transaction((tx) =>
      endpoints.create(tx, merchantId, (dialect) => {
        throw new Error(`not for ${dialect}`);
      }),
    );
    await expect(refused).rejects.toThrow('not for gateway');
    await expect(endpoints.list(merchantId, { beforeId: null, rowsMax: 5 })).resolves.toEqual([]);
  });

  test.each(['erasing', 'unknown'])('finds no merchant that is %s', async (kind) => {
    if (kind === 'erasing')
      await db.merchant.update({ where: { id: merchantId }, data: { status: 'erasing' } });
    const id = kind === 'unknown' ? '01900000-0000-7000-8000-000000000000' : merchantId;
    const created = db.$transaction((tx) => endpoints.create(tx, id, () => PLAIN));
    await expect(created).resolves.toEqual({ kind: 'merchant_not_found' });
  });

  test('stops at the bound, also when two come at once; deleted ones do not count', async () => {
    await db.$executeRaw`
      INSERT INTO endpoints (id, merchant_id, url, events)
      SELECT lpad(n::text, 32, '0')::uuid, ${merchantId}::uuid, 'https://shop.example', ARRAY['*']
      FROM generate_series(1, ${ENDPOINTS_PER_MERCHANT_MAX - 2}::int) AS n`;
    const last = await create();
    const both = await Promise.all(
      [1, 2].map(() => db.$transaction((tx) => endpoints.create(tx, merchantId, () => PLAIN))),
    );
    expect(both.map(({ kind }) => kind).sort()).toEqual(['created', 'too_many_endpoints']);
    await endpoints.delete({ id: last.id });
    await expect(create()).resolves.toBeDefined();
  });
});

describe('update', () => {
  test('changes only what is named', async () => {
    const endpoint = await create({ description: 'main', headers: [['X-Team', 'payments']] });
    const updated = await update(endpoint.id, { timeoutMs: 5_000, overrides: { retryScheduleSeconds: [] } });
    expect(updated).toEqual({
      ...endpoint,
      timeoutMs: 5_000,
      overrides: { ...PLAIN.overrides, retryScheduleSeconds: [] },
      updatedAt: expect.any(Date),
    });
    await expect(
      update(endpoint.id, { overrides: { retryScheduleSeconds: null }, headers: [] }),
    ).resolves.toMatchObject({
      overrides: PLAIN.overrides,
      headers: [],
    });
  });

  test.each<[string, EndpointChanges, bigint]>([
    ['url', { url: 'https://b.example' }, 2n],
    ['signatures', { overrides: { signatures: [{ scheme: 'hex' }] } }, 2n],
    ['headers', { headers: [['X-A', 'b']] }, 2n],
    ['rate_limit_per_second', { rateLimitPerSecond: 5 }, 2n],
    ['max_in_flight', { maxInFlight: 3 }, 2n],
    // Matching goes on as before: what is made for it is held.
    ['status, to paused', { status: 'paused' }, 2n],
    ['events', { events: ['*'] }, 3n],
    ['status, to disabled', { status: 'disabled' }, 3n],
    ['dialect', { overrides: { dialect: 'fapshi' } }, 3n],
    ['payload_format', { overrides: { payloadFormat: 'raw' } }, 3n],
  ])(
    'of %s raises the endpoint’s version, and the merchant’s where accept has to know',
    async (_, changes, merchant) => {
      const { id } = await create();
      await update(id, changes);
      await expect(versions(id)).resolves.toEqual({ endpoint: 2n, merchant });
    },
  );

  test('of nothing raises nothing', async () => {
    const endpoint = await create();
    await expect(update(endpoint.id, {})).resolves.toEqual(endpoint);
    await expect(versions(endpoint.id)).resolves.toEqual({ endpoint: 1n, merchant: 2n });
  });

  test('shows the live secrets to the decision, which can still refuse', async () => {
    const { id } = await create();
    await db.endpointSecret.create({
      data: {
        id: '01900000-0000-7000-8000-00000000000a',
        endpointId: id,
        sealed: Buffer.from(''),
        expiresAt: new Date(0),
      },
    });
    const refused = endpoints.update({ id }, (_, secrets) => {
      throw new Error(secrets.join());
    });
    await expect(refused).rejects.toThrow(PLAIN.secret);
    await expect(versions(id)).resolves.toEqual({ endpoint: 1n, merchant: 2n });
  });

  test('disabling cancels what is open and not in flight; enabling revives none of it', async () => {
    const { id } = await create();
    const open = await addDelivery(db, { merchantId, endpointId: id });
    const flying = await addDelivery(db, {
      merchantId,
      endpointId: id,
      leaseUntil: `now() + interval '15 s'`,
    });
    await expect(update(id, { status: 'disabled' })).resolves.toMatchObject({
      status: 'disabled',
      disabledReason: 'manual',
    });
    await expect(gateStatus(id)).resolves.toBe('disabled');
    await expect(statusOf(db, open.id)).resolves.toBe('cancelled');
    await expect(statusOf(db, flying.id)).resolves.toBe('pending');
    await expect(update(id, { status: 'enabled' })).resolves.toMatchObject({
      status: 'enabled',
      disabledReason: null,
    });
    await expect(gateStatus(id)).resolves.toBe('enabled');
    await expect(statusOf(db, open.id)).resolves.toBe('cancelled');
  });

  test('disabling one that is disabled keeps its reason', async () => {
    const { id } = await create();
    await db.endpoint.update({ where: { id }, data: { status: 'disabled', disabledReason: 'gone' } });
    await expect(update(id, { status: 'disabled' })).resolves.toMatchObject({ disabledReason: 'gone' });
  });

  test('pausing and resuming write the endpoint and its gate, and none of what is open', async () => {
    const { id } = await create();
    const open = await addDelivery(db, { merchantId, endpointId: id });
    const written = async (): Promise<{ open: string; log: string }> => {
      const [row] = await db.$queryRaw<{ open: string; log: string }[]>`
        SELECT o.xmin::text AS open, d.xmin::text AS log
        FROM open_deliveries o JOIN deliveries d ON d.id = o.delivery_id WHERE o.delivery_id = ${open.id}::uuid`;
      if (row === undefined) throw new Error('it is gone');
      return row;
    };
    const before = await written();
    await expect(update(id, { status: 'paused' })).resolves.toMatchObject({ status: 'paused' });
    await expect(gateStatus(id)).resolves.toBe('paused');
    await expect(update(id, { status: 'enabled' })).resolves.toMatchObject({ status: 'enabled' });
    await expect(gateStatus(id)).resolves.toBe('enabled');
    await expect(written()).resolves.toEqual(before);
    await expect(versions(id)).resolves.toMatchObject({ merchant: 2n });
  });

  test('a status that it has already changes nothing, and the rest of the change is made', async () => {
    const { id } = await create();
    const paused = await update(id, { status: 'paused' });
    await expect(update(id, { status: 'paused' })).resolves.toEqual(paused);
    await expect(versions(id)).resolves.toEqual({ endpoint: 2n, merchant: 2n });
    await expect(update(id, { status: 'paused', description: 'held' })).resolves.toMatchObject({
      status: 'paused',
      description: 'held',
    });
    await expect(gateStatus(id)).resolves.toBe('paused');
  });

  test('a disabled endpoint that is paused gets deliveries again, and a paused one that is disabled none', async () => {
    const { id } = await create();
    await update(id, { status: 'disabled' });
    await expect(update(id, { status: 'paused' })).resolves.toMatchObject({
      status: 'paused',
      disabledReason: null,
    });
    await expect(versions(id)).resolves.toEqual({ endpoint: 3n, merchant: 4n });
    expect((await loadSubscriptions(db, [merchantId])).get(merchantId)?.endpoints).toHaveLength(1);
    const held = await addDelivery(db, { merchantId, endpointId: id });
    await expect(update(id, { status: 'disabled' })).resolves.toMatchObject({ disabledReason: 'manual' });
    await expect(versions(id)).resolves.toEqual({ endpoint: 4n, merchant: 5n });
    expect((await loadSubscriptions(db, [merchantId])).get(merchantId)?.endpoints).toEqual([]);
    await expect(statusOf(db, held.id)).resolves.toBe('cancelled');
    await expect(gateStatus(id)).resolves.toBe('disabled');
  });

  test('of many at once leave the endpoint and its gate saying the same', async () => {
    const { id } = await create();
    const statuses = ['paused', 'enabled', 'paused', 'disabled', 'enabled', 'paused'] as const;
    await Promise.all(statuses.map((status) => update(id, { status })));
    const endpoint = await endpoints.get({ id });
    await expect(gateStatus(id)).resolves.toBe(endpoint?.status);
  });

  test('limits are kept, and null takes the rate’s away again', async () => {
    const { id } = await create({ rateLimitPerSecond: 5, maxInFlight: 3 });
    await expect(endpoints.get({ id })).resolves.toMatchObject({ rateLimitPerSecond: 5, maxInFlight: 3 });
    await expect(update(id, { rateLimitPerSecond: null })).resolves.toMatchObject({
      rateLimitPerSecond: null,
      maxInFlight: 3,
    });
  });
});

test('a client certificate is sealed with its key, replaced, kept and taken away', async () => {
  const first = { certificate: 'a certificate', privateKey: 'its private key' };
  const { id, clientCertificate } = await create({ clientCertificate: first });
  expect(clientCertificate).toEqual(first);
  const sealed = async () => (await loadTargets(db, [id])).get(id)?.clientCertificateSealed ?? null;
  expect(openClientCertificate(box, id, await sealed())).toEqual(first);
  expect(Buffer.from((await sealed()) ?? []).toString('latin1')).not.toMatch(/certificate|private/);
  await expect(update(id, { timeoutMs: 2_000 })).resolves.toMatchObject({ clientCertificate: first });
  const second = { certificate: 'another', privateKey: 'another key' };
  await expect(update(id, { clientCertificate: second })).resolves.toMatchObject({
    clientCertificate: second,
  });
  await expect(versions(id)).resolves.toMatchObject({ endpoint: 3n });
  await expect(update(id, { clientCertificate: null })).resolves.toMatchObject({ clientCertificate: null });
  await expect(sealed()).resolves.toBeNull();
});

test('delete hides the endpoint, closes its gate, cancels what is open, and remembers the owner', async () => {
  const { id } = await create();
  const open = await addDelivery(db, { merchantId, endpointId: id });
  await expect(endpoints.delete({ id })).resolves.toBe(true);
  await expect(endpoints.get({ id })).resolves.toBeNull();
  await expect(endpoints.list(merchantId, { beforeId: null, rowsMax: 5 })).resolves.toEqual([]);
  await expect(update(id, { url: 'https://b.example' })).resolves.toBeNull();
  await expect(endpoints.delete({ id })).resolves.toBe(false);
  await expect(endpoints.ownerOf({ id })).resolves.toBe(merchantId);
  await expect(gateStatus(id)).resolves.toBe('disabled');
  await expect(statusOf(db, open.id)).resolves.toBe('cancelled');
  await expect(versions(id)).resolves.toEqual({ endpoint: 2n, merchant: 3n });
  await expect(loadTargets(db, [id])).resolves.toEqual(new Map());
});

test('another merchant’s endpoint is not there', async () => {
  const { id } = await create();
  const ref = { id, merchantId: await addMerchant(db) };
  await expect(endpoints.get(ref)).resolves.toBeNull();
  await expect(endpoints.ownerOf(ref)).resolves.toBeNull();
  await expect(endpoints.update(ref, () => ({ events: ['*'] }))).resolves.toBeNull();
  await expect(endpoints.delete(ref)).resolves.toBe(false);
  await expect(versions(id)).resolves.toEqual({ endpoint: 1n, merchant: 2n });
});

test('lists are newest first, by pages, of one merchant or of all', async () => {
  const first = await create();
  const second = await create();
  const page = (beforeId: string | null) => endpoints.list(merchantId, { beforeId, rowsMax: 1 });
  await expect(page(null)).resolves.toEqual([second]);
  await expect(page(second.id)).resolves.toEqual([first]);
  await expect(page(first.id)).resolves.toEqual([]);
  merchantId = await addMerchant(db);
  const third = await create();
  await expect(endpoints.list(undefined, { beforeId: null, rowsMax: 3 })).resolves.toEqual([
    third,
    second,
    first,
  ]);
});

describe('loadTargets', () => {
  test('follows the merchant’s dialect except where the endpoint says otherwise', async () => {
    const plain = await create();
    const own = await create({
      overrides: { ...PLAIN.overrides, dialect: 'fapshi', signatures: [{ scheme: 'hex', header: 'X-Mine' }] },
      timeoutMs: 2_000,
    });
    const targets = await loadTargets(db, [plain.id, own.id, '01900000-0000-7000-8000-000000000000']);
    expect([...targets.keys()].sort()).toEqual([plain.id, own.id].sort());
    expect(targets.get(plain.id)).toMatchObject({
      version: 1n,
      dialect: 'gateway',
      payloadFormat: 'event-object',
      signatures: [{ scheme: 'hex', header: 'X-Signature' }],
      retryScheduleSeconds: [1, 4, 16],
      timeoutMs: 10_000,
      headersSealed: null,
    });
    expect(targets.get(own.id)).toMatchObject({
      dialect: 'fapshi',
      payloadFormat: 'raw',
      signatures: [{ scheme: 'hex', header: 'X-Mine' }],
      retryScheduleSeconds: [],
      timeoutMs: 2_000,
    });
  });

  test('has the secrets that are live by the database’s clock, oldest first', async () => {
    const { id } = await create();
    const [current] = await db.endpointSecret.findMany({ where: { endpointId: id } });
    const early = (n: number): string => `01900000-0000-7000-8000-00000000010${n}`;
    for (const [n, interval] of [
      [1, '-1 second'],
      [2, '1 hour'],
    ] as const) {
      await db.$executeRaw`
        INSERT INTO endpoint_secrets (id, endpoint_id, sealed, expires_at)
        VALUES (${early(n)}::uuid, ${id}::uuid, '', now() + ${interval}::interval)`;
    }
    const target = (await loadTargets(db, [id])).get(id);
    expect(target?.secrets.map((secret) => secret.id)).toEqual([early(2), current?.id]);
  });
});

describe('loadSubscriptions', () => {
  test('has what accept matches by: enabled endpoints and the version that this is true for', async () => {
    const plain = await create();
    const own = await create({
      events: ['*', 'refund'],
      overrides: { ...PLAIN.overrides, payloadFormat: 'flat' },
    });
    const disabled = await create();
    const deleted = await create();
    await update(disabled.id, { status: 'disabled' });
    await endpoints.delete({ id: deleted.id });
    const { merchant: configVersion } = await versions(plain.id);
    const loaded = await loadSubscriptions(db, [merchantId]);
    expect(loaded.get(merchantId)?.configVersion).toBe(configVersion);
    expect(loaded.get(merchantId)?.endpoints).toEqual([
      { id: plain.id, events: ['payment.*'], filter: null, payloadFormat: 'event-object' },
      { id: own.id, events: ['*', 'refund'], filter: null, payloadFormat: 'flat' },
    ]);
  });

  test('has merchants without endpoints, and none that is unknown or being erased', async () => {
    const erasing = await addMerchant(db);
    await db.merchant.update({ where: { id: erasing }, data: { status: 'erasing' } });
    const loaded = await loadSubscriptions(db, [merchantId, erasing, '01900000-0000-7000-8000-000000000000']);
    expect([...loaded]).toEqual([[merchantId, { configVersion: 1n, endpoints: [] }]]);
  });
});
