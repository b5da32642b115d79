import type { LookupAddress } from 'node:dns';
import { isIP, type TcpNetConnectOpts } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { SendResult } from '#pipeline/sender.js';
import { ADDRESS_CASES } from './address-fixtures.js';
import { createAddressPolicy } from './address-policy.js';
import { EgressPolicy } from './egress-policy.js';
import type { HostLookup } from './host-lookup.js';
import { parsePortRanges } from './port-ranges.js';
import { SenderHarness } from './sender-harness.js';
import { CLOSED_NAMES, closedSpellings, corpusUrls } from './url-fixtures.js';

/*
 * Everything that is known to get senders where they should not go, in groups whose sizes are in the tests' names.
 * Doubled: the resolver, and where a connect goes that is let through: nowhere. Observed: what was dialled.
 */

const PUBLIC: LookupAddress = { address: '93.184.216.34', family: 4 };
const PRIVATE: LookupAddress = { address: '10.0.0.7', family: 4 };
const NOWHERE = { host: '127.0.0.1', port: 1 };

const strict = createAddressPolicy({ allowCidrs: [] });
let answer: HostLookup;
let dialled: TcpNetConnectOpts[];
let harness: SenderHarness;

beforeEach(() => {
  dialled = [];
  answer = () => Promise.resolve([PUBLIC]);
  harness = new SenderHarness({
    allowCidrs: [],
    lookup: (name) => answer(name),
    redirectConnect: (options) => {
      dialled.push(options);
      return NOWHERE;
    },
  });
});

afterEach(async () => {
  await harness.sender.close();
});

async function sendAll(urls: readonly string[]): Promise<readonly (readonly [url: string, SendResult])[]> {
  const results: [string, SendResult][] = [];
  for (const url of urls) results.push([url, await harness.send(url)]);
  return results;
}

/** Of what is blocked, a merchant reads neither where it would have gone nor how long it took to find out. */
function expectBlocked(results: readonly (readonly [url: string, SendResult])[]): void {
  expect(dialled).toEqual([]);
  for (const [url, result] of results) {
    expect([url, result]).toEqual([
      url,
      {
        kind: 'blocked',
        errorCode: expect.stringMatching(/^(address|credentials|scheme)_not_allowed$|^url_malformed$/),
        message: expect.not.stringMatching(/\d|localhost|internal/),
        durationMs: 0,
        remoteAddress: null,
      },
    ]);
  }
}

function literal(address: string): string {
  return `http://${isIP(address) === 6 ? `[${address}]` : address}/`;
}

describe('addresses', () => {
  const groups = Map.groupBy(
    ADDRESS_CASES,
    ({ group, isAllowed }) => `${isAllowed ? 'may' : 'must not'} be: ${group}`,
  );

  test.each([...groups].map(([name, cases]) => [cases.length, name, cases] as const))(
    '%i that %s',
    async (_count, _name, cases) => {
      const wrong = cases.filter(({ address, isAllowed }) => strict.isAllowed(address) !== isAllowed);
      expect(wrong).toEqual([]);
      // As what a name stands for, and as what stands in the URL.
      for (const { address, isAllowed } of cases) {
        answer = () => Promise.resolve([{ address, family: isIP(address) }]);
        for (const url of ['http://receiver.test/', literal(address)]) {
          dialled = [];
          const result = await harness.send(url);
          expect([url, address, result.kind]).toEqual([
            url,
            address,
            isAllowed ? 'connection_error' : 'blocked',
          ]);
          expect(dialled).toHaveLength(isAllowed ? 1 : 0);
        }
      }
    },
  );

  test('there are 200 or more', () => {
    expect(ADDRESS_CASES.length).toBeGreaterThanOrEqual(200);
  });
});

describe('spellings of closed addresses', () => {
  const spellings = [...closedSpellings()];

  test.each(spellings.map(([group, hosts]) => [hosts.length, group, hosts] as const))(
    '%i %s ones are refused without a look-up',
    async (_count, _group, hosts) => {
      const asked: string[] = [];
      answer = (name) => {
        asked.push(name);
        return Promise.resolve([PUBLIC]);
      };
      const urls = hosts.flatMap((host) => [`http://${host}/latest/meta-data/`, `https://${host}:8443`]);
      expectBlocked(await sendAll(urls));
      expect(asked).toEqual([]);
    },
  );

  test('there are 300 or more', () => {
    expect(spellings.flatMap(([, hosts]) => hosts).length).toBeGreaterThanOrEqual(300);
  });
});

describe('names', () => {
  test(`${CLOSED_NAMES.length} that stand for closed addresses are refused`, async () => {
    const closed = new Map(
      CLOSED_NAMES.map(([name, address]) => [name.toLowerCase(), { address, family: isIP(address) }]),
    );
    answer = (name) => Promise.resolve([closed.get(name) ?? PUBLIC]);
    expectBlocked(await sendAll(CLOSED_NAMES.map(([name]) => `http://${name}/`)));
  });

  test('a name that changes with each look-up is dialled only where it was public, and there', async () => {
    let lookups = 0;
    answer = () => Promise.resolve([lookups++ % 2 === 0 ? PUBLIC : PRIVATE]);
    const results = await sendAll(Array.from({ length: 20 }, () => 'http://rebinding.test/'));
    expect(results.map(([, { kind }]) => kind)).toEqual(
      results.map((_, index) => (index % 2 === 0 ? 'connection_error' : 'blocked')),
    );
    expect(lookups).toBe(20);
    expect(dialled).toHaveLength(10);
    for (const { lookup } of dialled) {
      lookup?.('rebinding.test', { all: true }, (_error, addresses) => {
        expect(addresses).toEqual([PUBLIC]);
      });
    }
  });

  test.each<[string, HostLookup, string]>([
    [
      'one closed address among many',
      () => Promise.resolve([...Array<LookupAddress>(30).fill(PUBLIC), PRIVATE]),
      'blocked',
    ],
    [
      'an alias of localhost',
      () =>
        Promise.resolve([
          { address: '127.0.0.1', family: 4 },
          { address: '::1', family: 6 },
        ]),
      'blocked',
    ],
    ['a wrong family', () => Promise.resolve([{ address: '10.0.0.7', family: 6 }]), 'blocked'],
    ['a mapped address', () => Promise.resolve([{ address: '::ffff:10.0.0.7', family: 6 }]), 'blocked'],
    ['what is no address', () => Promise.resolve([{ address: '10.0.0.7.', family: 4 }]), 'blocked'],
    ['nothing', () => Promise.resolve([]), 'dns_error'],
    ['NXDOMAIN', () => Promise.reject(Object.assign(new Error('gone'), { code: 'ENOTFOUND' })), 'dns_error'],
    [
      'SERVFAIL',
      () => Promise.reject(Object.assign(new Error('broken'), { code: 'EAI_AGAIN' })),
      'dns_error',
    ],
    ['silence', () => new Promise(() => undefined), 'timeout'],
  ])('one that the resolver answers with %s is not dialled', async (_what, lookup, kind) => {
    answer = lookup;
    for (const url of ['http://receiver.test/', 'https://receiver.test./']) {
      expect(await harness.send(url, { timeoutMs: 100 })).toMatchObject({ kind, remoteAddress: null });
    }
    expect(dialled).toEqual([]);
  });
});

describe('every URL of the WHATWG’s tests', () => {
  const corpus = corpusUrls();
  const urls = [
    ...new Set(corpus.flatMap(({ input, href }) => (href === undefined ? [input] : [input, href]))),
  ];
  const policy = new EgressPolicy({
    addresses: strict,
    ports: parsePortRanges('1-65535'),
    allowHttp: true,
  });

  test(`${urls.length} are dialled nowhere while names stand for private addresses`, async () => {
    answer = () => Promise.resolve([PRIVATE]);
    for (const [url, result] of await sendAll(urls)) {
      if (!isPublicLiteral(url)) expect([url, result.kind]).toEqual([url, 'blocked']);
    }
    // What is left is public as it stands there.
    expect(dialled.filter(({ host }) => isIP(host ?? '') === 0 || !strict.isAllowed(host ?? ''))).toEqual([]);
  });

  test(`${urls.length} are dialled at public addresses only`, async () => {
    const results = await sendAll(urls);
    expect(results.filter(([, { kind }]) => kind !== 'blocked').length).toBe(dialled.length);
    expect(dialled.length).toBeGreaterThan(100);
    for (const { host = '' } of dialled) {
      if (isIP(host) !== 0) expect([host, strict.isAllowed(host)]).toEqual([host, true]);
    }
  });

  test(`${corpus.length} are read as the standard says, or refused`, () => {
    for (const { input, base, href } of corpus) {
      const judgement = policy.judgeUrl(input);
      if (!judgement.ok) continue;
      const { url } = judgement;
      expect(['http:', 'https:']).toContain(url.protocol);
      expect(`${url.username}${url.password}`).toBe('');
      // An entry with a base says what is made of both.
      if (base === null) expect([input, url.href]).toEqual([input, href]);
    }
  });

  function isPublicLiteral(text: string): boolean {
    const hostname = URL.parse(text)?.hostname.replace(/^\[(.*)\]$/, '$1') ?? '';
    return isIP(hostname) !== 0 && strict.isAllowed(hostname);
  }
});
