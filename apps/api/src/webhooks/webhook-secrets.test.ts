import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { forgetExpiredSecrets } from '#adapters/postgres/endpoint-secrets.js';
import { loadDeliveryTargets } from '#adapters/postgres/load-delivery-targets.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import type { Target } from '#pipeline/delivery-store.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type ApiAnswer, type ApiUnderTest, startApi } from '../api-harness.js';
import { SECRET_BOX } from '../tokens.js';

interface Verifier {
  readonly secret: string;
  readonly public_key?: string;
}
interface Secrets extends Verifier {
  readonly previous: readonly (Verifier & { readonly expires_at: string })[];
}
interface KeySet {
  readonly keys: readonly { readonly kid: string; readonly x: string }[];
}

const ED25519 = { signatures: [{ scheme: 'standard-webhooks-ed25519' }] };
const GENERATED = /^whsec_[A-Za-z0-9+/]{43}=$/;
const PUBLIC_KEY = /^whpk_[A-Za-z0-9+/]{43}=$/;
const DAY_MS = 86_400_000;

let testDatabase: TestDatabase;
let api: ApiUnderTest;
let other: ApiUnderTest;
let merchant: { readonly id: string; readonly key: string };

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  api = await startApi({ databaseUrl: testDatabase.databaseUrl });
  other = await startApi({ databaseUrl: testDatabase.databaseUrl, platformKey: api.platformKey });
}, 60_000);

afterAll(async () => {
  await Promise.all([api.close(), other.close()]);
  await testDatabase.drop();
});

beforeEach(async () => {
  merchant = await api.merchant();
});

async function webhook(fields: object = {}): Promise<Verifier & { readonly id: string }> {
  const body = { url: 'http://127.0.0.1:9/', events: ['*'], ...fields };
  const answer = await api.call<Verifier & { id: string }>('POST /v1/webhooks', { key: merchant.key, body });
  expect(answer.status).toBe(201);
  return answer.body;
}

async function read(id: string): Promise<Secrets> {
  const answer = await api.call<Secrets>(`GET /v1/webhooks/${id}/secret`, { key: merchant.key });
  expect(answer).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } });
  return answer.body;
}

function rotate(
  id: string,
  body: object = {},
  { by = api, headers = {} }: { by?: ApiUnderTest; headers?: Record<string, string> } = {},
): Promise<ApiAnswer<Secrets>> {
  return by.call<Secrets>(`POST /v1/webhooks/${id}/secret/rotate`, { key: merchant.key, body, headers });
}

/** What a worker that has never heard of it would sign with. */
async function target(id: string): Promise<Target> {
  const uuid = parseId(ID_PREFIXES.endpoint, id) ?? '';
  const targets = await loadDeliveryTargets(api.database, api.app.get<SecretBox>(SECRET_BOX), [uuid]);
  return targets.get(uuid) as Target;
}

async function keySet(): Promise<string[]> {
  const { status, body } = await other.call<KeySet>('GET /.well-known/jwks.json', { key: null });
  expect(status).toBe(200);
  return body.keys.map(({ x }) => `whpk_${Buffer.from(x, 'base64url').toString('base64')}`);
}

describe('a shared secret', () => {
  test('is shown to those who may see it, as it was made', async () => {
    const { id, secret } = await webhook();
    await expect(read(id)).resolves.toEqual({ secret, previous: [] });
  });

  test('rotated, is current at once, and the one before it lives for a day', async () => {
    const { id, secret } = await webhook();
    const rotated = await rotate(id, {});
    expect(rotated).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } });
    const { secret: next, previous } = rotated.body;
    expect(next).toMatch(GENERATED);
    expect(next).not.toBe(secret);
    expect(previous).toEqual([{ secret, expires_at: expect.any(String) }]);
    const leftMs = Date.parse(previous[0]?.expires_at ?? '') - Date.now();
    expect(Math.abs(leftMs - DAY_MS)).toBeLessThan(10_000);
    await expect(read(id)).resolves.toEqual(rotated.body);
    await expect(target(id)).resolves.toMatchObject({ secrets: [secret, next], version: 2n });
  });

  test('rotated twice within the overlap, three are live; a third rotation is a conflict, and 0 is not', async () => {
    const { id, secret: first } = await webhook();
    const second = (await rotate(id)).body.secret;
    const { body } = await rotate(id, {}, { by: other });
    const third = body.secret;
    expect(body.previous.map(({ secret }) => secret)).toEqual([second, first]);
    await expect(target(id)).resolves.toMatchObject({ secrets: [first, second, third] });
    await expect(rotate(id)).resolves.toMatchObject({ status: 409, body: { code: 'conflict' } });
    await expect(read(id)).resolves.toEqual(body);

    const switched = await rotate(id, { overlap_seconds: 0 });
    expect(switched.body.previous).toEqual([]);
    await expect(target(id)).resolves.toMatchObject({ secrets: [switched.body.secret], liveForMs: null });
  });

  test('does not outlive one that came after it', async () => {
    const { id, secret: first } = await webhook();
    await rotate(id, { overlap_seconds: 2_592_000 });
    const { body } = await rotate(id, { overlap_seconds: 60 });
    const ends = body.previous.map(({ expires_at }) => expires_at);
    expect(new Set(ends).size).toBe(1);
    expect(Date.parse(ends[0] ?? '') - Date.now()).toBeLessThan(61_000);
    expect((await target(id)).secrets[0]).toBe(first);
  });

  test('of an overlap that is over is gone: neither shown nor signed with nor counted, then removed', async () => {
    const { id } = await webhook();
    const second = (await rotate(id)).body.secret;
    const third = (await rotate(id)).body.secret;
    const endpointId = parseId('wh', id) ?? '';
    await api.database.$executeRaw`
      UPDATE endpoint_secrets SET expires_at = now() - interval '1 ms'
      WHERE id = (SELECT id FROM endpoint_secrets WHERE endpoint_id = ${endpointId}::uuid ORDER BY created_at LIMIT 1)`;
    expect((await read(id)).previous.map(({ secret }) => secret)).toEqual([second]);
    await expect(target(id)).resolves.toMatchObject({ secrets: [second, third] });
    await expect(rotate(id)).resolves.toMatchObject({ status: 200 });
    await expect(forgetExpiredSecrets(api.database)).resolves.toBeGreaterThan(0);
    await expect(api.database.endpointSecret.count({ where: { endpointId } })).resolves.toBe(3);
  });

  test('of the merchant’s own is taken by the same rules as at registration', async () => {
    const { id, secret } = await webhook();
    await expect(rotate(id, { secret: 'a secret of the shop' })).resolves.toMatchObject({
      status: 200,
      body: { secret: 'a secret of the shop', previous: [{ secret }] },
    });
    for (const [path, body] of [
      ['secret', { secret: 'short' }],
      ['secret', { secret: 'whsec_not base64 at all' }],
      ['secret', { secret: 5 }],
      ['secret', { secret: 'a secret of the shop' }],
      ['secret', { secret }],
      ['overlap_seconds', { overlap_seconds: -1 }],
      ['overlap_seconds', { overlap_seconds: 2_592_001 }],
      ['overlap_seconds', { overlap_seconds: 1.5 }],
      ['overlap_seconds', { overlap_seconds: null }],
      ['nothing', { nothing: 1 }],
    ] as const) {
      const answer = await rotate(id, body);
      expect({ body, answer }).toMatchObject({
        answer: { status: 422, body: { data: { errors: [{ path }] } } },
      });
    }
    // Back to the one before, and the newer one ends.
    await expect(rotate(id, { secret, overlap_seconds: 0 })).resolves.toMatchObject({
      status: 200,
      body: { secret, previous: [] },
    });
  });

  test('is rotated once by one Idempotency-Key', async () => {
    const { id } = await webhook();
    const headers = { 'idempotency-key': 'once' };
    const first = await rotate(id, {}, { headers });
    await expect(rotate(id, {}, { headers, by: other })).resolves.toMatchObject({
      status: 200,
      body: first.body,
    });
    await expect(rotate(id, { overlap_seconds: 1 }, { headers })).resolves.toMatchObject({ status: 409 });
    await expect(read(id)).resolves.toEqual(first.body);
  });

  test('rotated by two APIs at once, each rotation counts and the limit holds', async () => {
    const { id, secret } = await webhook();
    const answers = await Promise.all(
      [api, other, api, other, api].map((by) => rotate(id, { overlap_seconds: 3_600 }, { by })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 409, 409, 409]);
    const given = answers.flatMap(({ status, body }) => (status === 200 ? [body.secret] : []));
    const { secret: current, previous } = await read(id);
    expect([current, ...previous.map((one) => one.secret)].sort()).toEqual([...given, secret].sort());
    expect((await target(id)).secrets).toEqual([...previous.map((one) => one.secret).reverse(), current]);
    expect(previous.at(-1)?.secret).toBe(secret);
  });
});

describe('Ed25519', () => {
  test('shows the public key and nothing else, here and in the key set', async () => {
    const made = await webhook(ED25519);
    expect(made.public_key).toMatch(PUBLIC_KEY);
    expect(made.secret).toBe(made.public_key);
    await expect(read(made.id)).resolves.toEqual({
      secret: made.secret,
      public_key: made.public_key,
      previous: [],
    });
    await expect(keySet()).resolves.toContain(made.public_key);
    const jwks = await api.call<KeySet>('GET /.well-known/jwks.json', { key: null });
    expect(jwks).toMatchObject({ headers: { 'cache-control': 'public, max-age=60' } });
    for (const key of jwks.body.keys) {
      expect(key).toEqual({
        kty: 'OKP',
        crv: 'Ed25519',
        x: expect.stringMatching(/^[\w-]{43}$/),
        kid: expect.stringMatching(/^[\w-]{43}$/),
        use: 'sig',
        alg: 'EdDSA',
      });
    }
  });

  test('rotated, both keys are there until the overlap ends', async () => {
    const { id, public_key: first } = await webhook(ED25519);
    const { body } = await rotate(id);
    expect(body.public_key).not.toBe(first);
    expect(body.previous).toEqual([{ secret: first, public_key: first, expires_at: expect.any(String) }]);
    await expect(keySet()).resolves.toEqual(expect.arrayContaining([first, body.public_key]));
    expect((await target(id)).privateKeys).toHaveLength(2);
    const switched = await rotate(id, { overlap_seconds: 0 });
    expect((await target(id)).privateKeys).toHaveLength(1);
    const keys = await keySet();
    expect(keys).toContain(switched.body.public_key);
    expect(keys).not.toContain(first);
    expect(keys).not.toContain(body.public_key);
    await expect(rotate(id, { secret: 'a secret of the shop' })).resolves.toMatchObject({ status: 422 });
  });

  test('is added by a PATCH, beside the shared secret, and its key stays when it comes back', async () => {
    const { id, secret } = await webhook();
    const both = [{ scheme: 'standard-webhooks' }, { scheme: 'standard-webhooks-ed25519' }];
    const patch = (signatures: unknown) =>
      api.call(`PATCH /v1/webhooks/${id}`, { key: merchant.key, body: { signatures } });
    await expect(patch(both)).resolves.toMatchObject({ status: 200, body: { signatures: both } });
    const shown = await read(id);
    expect(shown).toEqual({ secret, public_key: expect.stringMatching(PUBLIC_KEY), previous: [] });
    await expect(target(id)).resolves.toMatchObject({ secrets: [secret], version: 2n });
    await patch(null);
    await expect(read(id)).resolves.toEqual({ secret, previous: [] });
    await patch(both);
    await expect(read(id)).resolves.toEqual(shown);
  });

  test('of a deleted webhook leaves the key set', async () => {
    const { id, public_key: key } = await webhook(ED25519);
    await api.call(`DELETE /v1/webhooks/${id}`, { key: merchant.key });
    await expect(keySet()).resolves.not.toContain(key);
  });

  test('keeps its private key sealed', async () => {
    const { id } = await webhook(ED25519);
    const [row] = await api.database.endpointSecret.findMany({
      where: { endpointId: parseId('wh', id) ?? '' },
    });
    const [key] = (await target(id)).privateKeys;
    const { d = '' } = key?.export({ format: 'jwk' }) ?? {};
    expect(d).toHaveLength(43);
    expect(Buffer.from(row?.sealed ?? []).includes(Buffer.from(d, 'base64url'))).toBe(false);
  });
});

describe('who may', () => {
  async function keyWith(...scopes: string[]): Promise<string> {
    const body = { name: 'scoped', scopes };
    const made = await api.call<{ key: string }>(`POST /v1/merchants/${merchant.id}/api-keys`, { body });
    return made.body.key;
  }

  test('reading needs secrets:read, rotating webhooks:write as well', async () => {
    const { id } = await webhook();
    const rows: [string, number, number][] = [
      [await keyWith('webhooks:read', 'webhooks:write'), 403, 403],
      [await keyWith('secrets:read'), 200, 403],
      [await keyWith('secrets:read', 'webhooks:write'), 200, 200],
      [(await api.merchant()).key, 404, 404],
      [api.platformKey, 200, 200],
    ];
    for (const [key, reading, rotating] of rows) {
      const got = await api.call(`GET /v1/webhooks/${id}/secret`, { key });
      const posted = await api.call(`POST /v1/webhooks/${id}/secret/rotate`, { key });
      expect([got.status, posted.status]).toEqual([reading, rotating]);
    }
  });
});
