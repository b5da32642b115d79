import { isIP } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ADDRESS_CASES } from '#adapters/http-sender/address-fixtures.js';
import { createAddressPolicy } from '#adapters/http-sender/address-policy.js';
import { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { REFUSED_HEADER_NAMES, REFUSED_HEADER_VALUES } from '#adapters/http-sender/hostile-fixtures.js';
import { parsePortRanges } from '#adapters/http-sender/port-ranges.js';
import { CLOSED_NAMES, closedSpellings, corpusUrls } from '#adapters/http-sender/url-fixtures.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { type ApiUnderTest, startApi } from '../api-harness.js';

/*
 * What can be known of a URL when it is registered is refused then, over the API, with the ports of the default
 * configuration and plain http allowed. Doubled: the resolver. Observed: answers, and the webhook as it is stored.
 */

/** The first test file of a run starts PostgreSQL, on a machine that may be busy. */
const SETUP_TIMEOUT_MS = 60_000;
/** Over a thousand calls, on a machine that may be busy. */
const MANY_TIMEOUT_MS = 120_000;
const URL = 'https://receiver.test/hook';
const PUBLIC = { address: '93.184.216.34', family: 4 };

let testDatabase: TestDatabase;
let api: ApiUnderTest;
let key: string;
let id: string;
const closed = new Map(CLOSED_NAMES.map(([name, address]) => [name.toLowerCase(), address]));

const egressPolicy = new EgressPolicy({
  addresses: createAddressPolicy({ allowCidrs: [] }),
  ports: parsePortRanges('80,443,1024-65535'),
  allowHttp: true,
  lookup: (name) => {
    const address = closed.get(name);
    return Promise.resolve([address === undefined ? PUBLIC : { address, family: isIP(address) }]);
  },
});

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  api = await startApi({ databaseUrl: testDatabase.databaseUrl, overrides: { egressPolicy } });
  ({ key } = await api.merchant());
  const made = await api.call<{ id: string }>('POST /v1/webhooks', {
    key,
    body: { url: URL, events: ['*'] },
  });
  ({ id } = made.body);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await api.close();
  await testDatabase.drop();
});

interface Answer {
  readonly url?: string;
  readonly code?: string;
  readonly data?: { readonly errors: readonly { readonly path: string; readonly message: string }[] };
}

async function change(url: string): Promise<{ readonly status: number; readonly body: Answer }> {
  return api.call<Answer>(`PATCH /v1/webhooks/${id}`, { key, body: { url } });
}

async function expectRefused(urls: readonly string[]): Promise<void> {
  for (const url of urls) {
    const { status, body } = await change(url);
    expect([url, status, body.code]).toEqual([url, 422, 'url_not_allowed']);
    expect(body.data?.errors).toEqual([
      { path: 'url', message: expect.stringMatching(/^must (be|have|not have) [a-zA-Z ]+$/) },
    ]);
  }
  const read = await api.call<Answer>(`GET /v1/webhooks/${id}`, { key });
  expect(read.body.url).toBe(URL);
}

const spellings = [...closedSpellings().values()].flat().map((host) => `https://${host}/latest/meta-data/`);
const addresses = ADDRESS_CASES.filter(({ isAllowed }) => !isAllowed).map(
  ({ address }) => `https://${isIP(address) === 6 ? `[${address}]` : address}/`,
);

describe('a url is not allowed', () => {
  test.each([
    [spellings.length, 'spellings of closed addresses', spellings],
    [addresses.length, 'closed addresses', addresses],
    [CLOSED_NAMES.length, 'names of closed addresses', CLOSED_NAMES.map(([name]) => `https://${name}/`)],
    [
      9,
      'closed ports',
      [0, 1, 22, 25, 79, 81, 442, 444, 1_023].map((port) => `https://receiver.test:${port}/`),
    ],
  ])(
    '%i %s',
    async (_count, _what, urls) => {
      await expectRefused(urls);
    },
    MANY_TIMEOUT_MS,
  );

  test('POST refuses as PATCH does, and makes nothing', async () => {
    const before = await api.database.endpoint.count();
    for (const url of [
      ...spellings.filter((_, index) => index % 20 === 0),
      'https://metadata.google.internal/',
    ]) {
      const answer = await api.call('POST /v1/webhooks', { key, body: { url, events: ['*'] } });
      expect([url, answer.status, answer.body.code]).toEqual([url, 422, 'url_not_allowed']);
    }
    expect(await api.database.endpoint.count()).toBe(before);
  });
});

const corpus = [...new Set(corpusUrls().map(({ input }) => input))];

test(
  `${corpus.length} URLs of the WHATWG’s tests are kept as they came or refused, and nothing else`,
  async () => {
    for (const input of corpus) {
      const { status, body } = await change(input);
      if ((await egressPolicy.judgeForRegistration(input)).ok) {
        expect([input, status, body.url]).toEqual([input, 200, input]);
      } else {
        expect([input, status]).toEqual([input, 422]);
        expect(['url_not_allowed', 'invalid_request']).toContain(body.code);
      }
    }
    await change(URL);
  },
  MANY_TIMEOUT_MS,
);

test(`${REFUSED_HEADER_NAMES.length} header names and ${REFUSED_HEADER_VALUES.length} values are refused`, async () => {
  const bad = [
    ...REFUSED_HEADER_NAMES.map((name) => ({ [name]: 'a' })),
    ...REFUSED_HEADER_VALUES.map((value) => ({ 'X-A': value })),
    ...[
      { 'X-A': 'a', 'x-a': 'b' },
      { Authorization: 'a', AUTHORIZATION: 'b' },
    ],
    ...[{ __proto__: null, 'X-A': 'a', 'X-a': 'b', 'x-A': 'c' }],
  ];
  for (const headers of bad) {
    const answer = await api.call(`PATCH /v1/webhooks/${id}`, { key, body: { headers } });
    expect([headers, answer.status, answer.body.code]).toEqual([headers, 422, 'invalid_request']);
  }
  const read = await api.call<{ headers: unknown }>(`GET /v1/webhooks/${id}`, { key });
  expect(read.body.headers).toEqual({});
});
