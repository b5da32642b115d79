/*
 * The rate of a merchant's key from outside: two API processes and one store. Time goes by while requests are made, so what
 * may pass is bounded by the time that they took. Doubled: nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { ApiAnswer, ApiClient } from '#testkit/api-client.js';
import { eventually } from '#testkit/eventually.js';
import { type Installation, type QueueKind, startInstallation } from '#testkit/processes.js';
import { hasRedis } from '#testkit/redis.js';

/** Slow enough that a busy machine uses it up. The default is tried once, at the end. */
const RATE = 5;
const BURST = 50;
/** As fast as it goes. With all of them in flight the lists themselves would wait too long for the database. */
const CONCURRENCY = 64;
/** Far more than a request waits for a store that does not answer, far less than for a broken connection. */
const HELD_MS_MAX = 5_000;

const STORES: QueueKind[] = hasRedis() ? ['postgres', 'redis'] : ['postgres'];
if (!hasRedis()) test.skip('request rates on Redis: there is no redis-server', () => undefined);

/** @returns the answers, and how long all of them took */
async function getAtOnce(
  clients: readonly ApiClient[],
  times: number,
): Promise<{ answers: ApiAnswer[]; seconds: number }> {
  const startedMs = performance.now();
  const answers: ApiAnswer[] = [];
  let begun = 0;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let n = begun++; n < times; n = begun++) {
        answers[n] = await (clients[n % clients.length] as ApiClient).get('/v1/webhooks');
      }
    }),
  );
  return { answers, seconds: (performance.now() - startedMs) / 1_000 };
}

function statusesOf(answers: readonly ApiAnswer[]): number[] {
  return [...new Set(answers.map(({ status }) => status))].sort();
}

describe.each(STORES)('on %s', (queue) => {
  let installation: Installation;

  beforeAll(async () => {
    const environment = { POSTHORN_API_RATE_PER_SECOND: String(RATE) };
    installation = await startInstallation({ queue, apis: 2, workers: 0, environment });
  }, 60_000);

  afterAll(() => installation.close(), 30_000);

  /** @returns a client for each process */
  async function newMerchantKey(): Promise<{ clients: ApiClient[]; keyId: string; merchantId: string }> {
    const merchantId = await installation.client.newMerchant();
    const { body } = await installation.client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'shop' });
    const clients = [0, 1].map((n) => installation.clientOf(n).withKey(String(body['key'])));
    return { clients, keyId: String(body['id']), merchantId };
  }

  async function unchecked(): Promise<number> {
    const counts = await Promise.all(
      [0, 1].map(async (n) => {
        const { text } = await installation.clientOf(n).get('/metrics');
        return Number(/^posthorn_requests_rate_unchecked_total (\d+)$/m.exec(text)?.[1]);
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  test('ten seconds of the rate pass at once over both processes, more is 429; then the rate holds', async () => {
    const { clients } = await newMerchantKey();
    const { answers, seconds: burstSeconds } = await getAtOnce(clients, BURST);
    expect(statusesOf(answers)).toEqual([200]);
    expect(answers[0]?.headers).toMatchObject({ 'ratelimit-limit': String(BURST) });
    const startedMs = performance.now();
    const more = await getAtOnce(clients, BURST);
    const passed = more.answers.filter(({ status }) => status === 200);
    expect(passed.length).toBeLessThanOrEqual(Math.ceil((burstSeconds + more.seconds) * RATE));
    const refused = more.answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const answer of refused) {
      expect(answer).toMatchObject({
        status: 429,
        body: { status: 429, code: 'rate_limited', data: null },
        headers: {
          'retry-after': '1',
          'ratelimit-limit': String(BURST),
          'ratelimit-remaining': '0',
          'ratelimit-reset': '10',
        },
      });
    }
    // Whoever comes back when told to is served, and the rate is what one gets in the long run.
    let sustained = 0;
    while (performance.now() - startedMs < 4_000) {
      const { answers: round } = await getAtOnce(clients, 20);
      sustained += round.filter(({ status }) => status === 200).length;
    }
    const seconds = (performance.now() - startedMs) / 1_000;
    const total = passed.length + sustained;
    expect(total).toBeLessThanOrEqual(Math.ceil((burstSeconds + seconds) * RATE));
    expect(total).toBeGreaterThanOrEqual(Math.floor(seconds * RATE * 0.8));
  });

  test('429 comes after 401 and before 403, 404 and 422; other keys of the merchant go on', async () => {
    const { clients, merchantId } = await newMerchantKey();
    const [client] = clients as [ApiClient, ApiClient];
    await eventually(async () => {
      await getAtOnce(clients, 2 * BURST);
      const answers = await Promise.all([
        client.get('/v1/merchants'),
        client.get('/v1/webhooks/wh_00000000000000000000000000'),
        client.post('/v1/webhooks', { nonsense: true }),
      ]);
      expect(answers.slice(0, 3).map(({ status }) => status)).toEqual([429, 429, 429]);
    });
    const { body } = await installation.client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'b' });
    expect(await client.withKey(String(body['key'])).get('/v1/webhooks')).toMatchObject({ status: 200 });
    expect(await client.withKey('phk_wrong_wrong_wrong_wrong').get('/v1/webhooks')).toMatchObject({
      status: 401,
    });
  });

  test('a platform key has no rate', async () => {
    const { answers } = await getAtOnce([installation.clientOf(0), installation.clientOf(1)], BURST + 100);
    expect(statusesOf(answers)).toEqual([200]);
    expect(answers[0]?.headers).not.toHaveProperty('ratelimit-limit');
  });

  test('a key that was revoked on one process is 401 on the other with the next request', async () => {
    const { clients, keyId, merchantId } = await newMerchantKey();
    for (let round = 0; round < 5; round++) {
      for (const client of clients) expect(await client.get('/v1/webhooks')).toMatchObject({ status: 200 });
    }
    const path = `/v1/merchants/${merchantId}/api-keys/${keyId}`;
    expect(await installation.clientOf(0).delete(path)).toMatchObject({ status: 204 });
    expect(await (clients[1] as ApiClient).get('/v1/webhooks')).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated' },
    });
  });

  /** While the store is away: nobody is refused or held, it is counted, and each process says it once. */
  async function goesOn(clients: readonly ApiClient[]): Promise<void> {
    const before = await unchecked();
    const { answers, seconds } = await getAtOnce(clients, BURST + 100);
    expect(statusesOf(answers)).toEqual([200]);
    expect(await unchecked()).toBeGreaterThan(before);
    const afterMs = performance.now();
    for (const client of clients) expect(await client.get('/v1/webhooks')).toMatchObject({ status: 200 });
    expect(performance.now() - afterMs).toBeLessThan(HELD_MS_MAX);
    // Every lane of the client may have been held once on each process.
    expect(seconds).toBeLessThan(HELD_MS_MAX / 1_000 + 20);
    for (const { lines } of installation.apis) {
      const told = lines.filter((line) => line.includes('the store of request rates is away'));
      expect(told).toHaveLength(1);
    }
  }

  async function comesBack(clients: readonly ApiClient[]): Promise<void> {
    await eventually(async () => {
      for (const client of clients) {
        expect((await client.get('/v1/webhooks')).headers).toHaveProperty('ratelimit-remaining');
      }
    });
  }

  if (queue === 'redis') {
    test('Redis stopped, killed and back: requests go on, then the rate holds again', async () => {
      const { clients } = await newMerchantKey();
      const redis = installation.redis;
      if (redis === null) throw new Error('there is no Redis');
      await comesBack(clients);
      process.kill(redis.pid, 'SIGSTOP');
      await goesOn(clients);
      process.kill(redis.pid, 'SIGCONT');
      await comesBack(clients);
      // What waited in the stopped Redis has emptied the bucket of that key.
      const { clients: others } = await newMerchantKey();
      await comesBack(others);
      await redis.kill();
      await goesOn(others);
      await redis.start();
      await comesBack(others);
      await eventually(async () => {
        const { answers } = await getAtOnce(others, 2 * BURST);
        expect(statusesOf(answers)).toContain(429);
      });
    });
  } else {
    test('a table that does not answer: requests go on, then the rate holds again', async () => {
      const { clients } = await newMerchantKey();
      await comesBack(clients);
      const blocker = new pg.Client({ connectionString: installation.database.databaseUrl });
      await blocker.connect();
      await blocker.query('BEGIN; LOCK TABLE request_buckets IN ACCESS EXCLUSIVE MODE');
      await goesOn(clients);
      await blocker.query('ROLLBACK');
      await blocker.end();
      await comesBack(clients);
    });
  }

  test('when a key was last used is written by a process that is told to stop', async () => {
    const { clients, keyId, merchantId } = await newMerchantKey();
    const path = `/v1/merchants/${merchantId}/api-keys`;
    const lastUsed = async (): Promise<unknown> => {
      const { body } = await installation.client.get<{ data: Record<string, unknown>[] }>(path);
      return body.data.find(({ id }) => id === keyId)?.['last_used_at'];
    };
    expect(await (clients[1] as ApiClient).get('/v1/webhooks')).toMatchObject({ status: 200 });
    expect(await lastUsed()).toBeNull();
    expect(await installation.apis[1]?.end('SIGTERM')).toMatchObject({ exitCode: 0 });
    expect(await lastUsed()).toMatch(/^\d{4}-.*Z$/);
  });
});

test('without a word about it, 1,000 pass at once and the rate is 100', async () => {
  const queue = hasRedis() ? 'redis' : 'postgres';
  const installation = await startInstallation({ queue, apis: 2, workers: 0 });
  const merchantId = await installation.client.newMerchant();
  const { body } = await installation.client.post(`/v1/merchants/${merchantId}/api-keys`, { name: 'shop' });
  const clients = [0, 1].map((n) => installation.clientOf(n).withKey(String(body['key'])));
  const { answers, seconds } = await getAtOnce(clients, 1_000);
  expect(statusesOf(answers)).toEqual([200]);
  expect(answers[0]?.headers).toMatchObject({ 'ratelimit-limit': '1000' });
  const remaining = Number(
    (await (clients[0] as ApiClient).get('/v1/webhooks')).headers['ratelimit-remaining'],
  );
  expect(remaining).toBeLessThanOrEqual(Math.ceil((seconds + 1) * 100));
  await installation.close();
}, 90_000);

test.each([
  ['POSTHORN_API_RATE_PER_SECOND', '0'],
  ['POSTHORN_TRUSTED_PROXIES', 'nginx'],
])('an API does not boot with %s=%s', async (name, value) => {
  await expect(
    startInstallation({ queue: 'postgres', workers: 0, environment: { [name]: value } }),
  ).rejects.toThrow(new RegExp(`${name} must be`));
});
