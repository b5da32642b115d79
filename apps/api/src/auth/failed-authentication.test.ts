/*
 * What wrong keys are told, by the address that they come from. Real: PostgreSQL and the whole edge; requests are injected,
 * so that each has the peer that the test gives it.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connectDatabase } from '#adapters/postgres/database.js';
import { generateApiKey } from '#adapters/secrets/api-key-text.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { startApi, type ApiUnderTest } from '../api-harness.js';
import { FAILURES_PER_MINUTE_MAX } from './failed-authentication.js';

let db: TestDatabase;
let api: ApiUnderTest;

beforeAll(async () => {
  db = await createTestDatabase();
  api = await startApi({ databaseUrl: db.databaseUrl, overrides: { trustedProxies: ['10.0.0.0/8'] } });
}, 60_000);

afterAll(async () => {
  await api.close();
  await db.drop();
});

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

async function ask(
  key: string | null,
  from: string,
  headers: Readonly<Record<string, string>> = {},
  on = api,
): Promise<Answer> {
  const response = await on.app.inject({
    url: '/v1/api-keys',
    remoteAddress: from,
    headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
  });
  const { code } = response.json<{ code?: string }>();
  return { status: response.statusCode, code, headers: response.headers };
}

const wrongKey = (): string => generateApiKey(randomBytes);

/** @returns statuses of as many wrong keys as an address may send, and two more */
async function exhaust(from: string, key: () => string | null = wrongKey): Promise<number[]> {
  const statuses: number[] = [];
  for (let n = 0; n < FAILURES_PER_MINUTE_MAX + 2; n++) statuses.push((await ask(key(), from)).status);
  return statuses;
}

const LIMITED = [...new Array<number>(FAILURES_PER_MINUTE_MAX).fill(401), 429, 429];

test('a bad checksum is refused without the database, a good one asks it', async () => {
  const nowhere = connectDatabase('postgres://nobody@127.0.0.1:1/nothing', 1);
  const away = await startApi({
    databaseUrl: db.databaseUrl,
    platformKey: api.platformKey,
    overrides: { database: nowhere },
  });
  const good = wrongKey();
  const bad = good.slice(0, -1) + (good.endsWith('0') ? '1' : '0');
  for (const key of [bad, 'too-short', `${good} `.repeat(10)]) {
    expect(await ask(key, '192.0.2.1', {}, away)).toMatchObject({ status: 401, code: 'unauthenticated' });
  }
  expect(await ask(good, '192.0.2.1', {}, away)).toMatchObject({ status: 503, code: 'unavailable' });
  await away.close();
  await nowhere.$disconnect();
});

describe('wrong keys', () => {
  test.each<[string, string, () => string]>([
    ['that nobody has', '192.0.2.10', wrongKey],
    ['with a bad checksum', '192.0.2.11', () => `phk_${'0'.repeat(39)}`],
    ['that cannot be one', '192.0.2.12', () => 'x'],
  ])('%s are 401, then 429', async (_, from, key) => {
    expect(await exhaust(from, key)).toEqual(LIMITED);
    const refusal = await ask(key(), from);
    expect(refusal).toMatchObject({ status: 429, code: 'rate_limited' });
    const retrySeconds = Number(refusal.headers['retry-after']);
    expect(retrySeconds).toBeGreaterThan(30);
    expect(retrySeconds).toBeLessThanOrEqual(60);
  });

  test('of one address have no effect on another', async () => {
    await exhaust('192.0.2.20');
    expect(await ask(wrongKey(), '192.0.2.21')).toMatchObject({ status: 401 });
  });

  test('of one IPv6 /64 are counted together, and of the next one not', async () => {
    await exhaust('2001:db8:0:1::1');
    expect(await ask(wrongKey(), '2001:db8:0:1:ffff::2')).toMatchObject({ status: 429 });
    expect(await ask(wrongKey(), '2001:db8:0:2::1')).toMatchObject({ status: 401 });
  });

  test('count against the client that a trusted proxy names, and against nobody that a stranger names', async () => {
    const through = { 'x-forwarded-for': '203.0.113.1' };
    for (let n = 0; n < FAILURES_PER_MINUTE_MAX; n++) await ask(wrongKey(), '10.0.0.1', through);
    expect(await ask(wrongKey(), '10.0.0.1', through)).toMatchObject({ status: 429 });
    expect(await ask(wrongKey(), '203.0.113.1')).toMatchObject({ status: 429 });
    expect(await ask(wrongKey(), '10.0.0.1', { 'x-forwarded-for': '203.0.113.2' })).toMatchObject({
      status: 401,
    });
    // A new name in each request: the stranger is counted all the same.
    const statuses: number[] = [];
    for (let n = 0; n < FAILURES_PER_MINUTE_MAX + 2; n++) {
      const spoofed = { 'x-forwarded-for': `198.51.100.${n}` };
      statuses.push((await ask(wrongKey(), '192.0.2.30', spoofed)).status);
    }
    expect(statuses).toEqual(LIMITED);
  });
});

describe('from an address that is being refused', () => {
  const FROM = '192.0.2.40';
  beforeAll(() => exhaust(FROM));

  test('a right key is served, known to the process or not', async () => {
    expect(await ask(api.platformKey, FROM)).toMatchObject({ status: 200 });
    const stranger = await startApi({ databaseUrl: db.databaseUrl, platformKey: api.platformKey });
    await Promise.all(Array.from({ length: 200 }, () => ask(wrongKey(), FROM, {}, stranger)));
    expect(await ask(wrongKey(), FROM, {}, stranger)).toMatchObject({ status: 429 });
    const answers = await Promise.all([
      ...Array.from({ length: 100 }, () => ask(wrongKey(), FROM, {}, stranger)),
      ask(api.platformKey, FROM, {}, stranger),
    ]);
    expect(answers.at(-1)).toMatchObject({ status: 200 });
    expect(new Set(answers.slice(0, -1).map(({ status }) => status))).toEqual(new Set([429]));
    await stranger.close();
  });

  test('no key at all is 401: nobody tried anything', async () => {
    expect(await ask(null, FROM)).toMatchObject({ status: 401, code: 'unauthenticated' });
  });

  test('what needs no key is served', async () => {
    const response = await api.app.inject({ url: '/healthz', remoteAddress: FROM });
    expect(response.statusCode).toBe(200);
  });

  test('a key that is revoked is told 429 on a call that confirms it late, too', async () => {
    const { body } = await api.call<{ id: string; key: string }>('POST /v1/api-keys', {
      body: { name: 'x' },
    });
    expect(await ask(body.key, FROM)).toMatchObject({ status: 200 });
    await api.call(`DELETE /v1/api-keys/${body.id}`);
    const response = await api.app.inject({
      method: 'POST',
      url: '/v1/events',
      remoteAddress: FROM,
      headers: { authorization: `Bearer ${body.key}`, 'content-type': 'application/json' },
      payload: '{',
    });
    expect(response.statusCode).toBe(429);
  });
});

test('missing keys are not counted, however many', async () => {
  expect(new Set(await exhaust('192.0.2.50', () => null))).toEqual(new Set([401]));
  expect(await ask(wrongKey(), '192.0.2.50')).toMatchObject({ status: 401 });
});

test('refusals are counted by their reason', async () => {
  const counts = async (): Promise<number[]> => {
    const { body } = await api.call<string>('GET /metrics', { key: null });
    return ['unauthenticated', 'authentication_rate', 'request_rate'].map((reason) => {
      const [, count] =
        new RegExp(`^posthorn_requests_refused_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(body) ?? [];
      return Number(count);
    });
  };
  const [before0 = Number.NaN, before1 = Number.NaN, before2 = Number.NaN] = await counts();
  await exhaust('192.0.2.60');
  expect(await counts()).toEqual([before0 + FAILURES_PER_MINUTE_MAX, before1 + 2, before2]);
});
