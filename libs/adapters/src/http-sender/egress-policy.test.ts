import type { LookupAddress } from 'node:dns';
import { describe, expect, test } from '@jest/globals';
import { createAddressPolicy } from './address-policy.js';
import { EgressPolicy, type EgressPolicyOptions } from './egress-policy.js';
import type { HostLookup } from './host-lookup.js';
import { parsePortRanges } from './port-ranges.js';

const PUBLIC: LookupAddress = { address: '93.184.216.34', family: 4 };
const PUBLIC_V6: LookupAddress = { address: '2606:2800:220:1::1', family: 6 };
const PRIVATE: LookupAddress = { address: '10.0.0.7', family: 4 };

function policyWith(options: Partial<EgressPolicyOptions> = {}): EgressPolicy {
  return new EgressPolicy({
    addresses: createAddressPolicy({ allowCidrs: [] }),
    ports: parsePortRanges('80,443,1024-65535'),
    allowHttp: false,
    lookup: () => Promise.reject(new Error('no look-up was expected')),
    ...options,
  });
}

function answering(...addresses: LookupAddress[]): HostLookup {
  return () => Promise.resolve(addresses);
}

function verdict(text: string, options: Partial<EgressPolicyOptions> = {}): string {
  const judgement = policyWith(options).judgeUrl(text);
  return judgement.ok ? judgement.url.href : judgement.reason;
}

describe('judgeUrl', () => {
  test.each([
    'https://example.com/',
    'https://example.com:8443/hooks?a=b',
    'https://93.184.216.34/',
    'https://[2606:2800:220:1::1]/',
  ])('lets %s through', (text) => {
    expect(verdict(text)).toBe(text);
  });

  test.each([
    ['', 'url_malformed'],
    ['example.com', 'url_malformed'],
    ['https://', 'url_malformed'],
    ['https://exa mple.com/', 'url_malformed'],
    ['https://example.com/\n', 'url_malformed'],
    ['ht\ttps://example.com/', 'url_malformed'],
    [' https://example.com/', 'url_malformed'],
    ['https://1.2.3.4.5/', 'url_malformed'],
    ['https://[::1%25lo]/', 'url_malformed'],
    ['https://example.com:65536/', 'url_malformed'],
    ['http://example.com/', 'scheme_not_allowed'],
    ['ftp://example.com/', 'scheme_not_allowed'],
    ['file:///etc/passwd', 'scheme_not_allowed'],
    ['gopher://127.0.0.1:6379/_x', 'scheme_not_allowed'],
    ['javascript:alert(1)', 'scheme_not_allowed'],
    ['https://user@example.com/', 'credentials_not_allowed'],
    ['https://:password@example.com/', 'credentials_not_allowed'],
    ['https://example.com:22/', 'port_not_allowed'],
    ['https://example.com:0/', 'port_not_allowed'],
  ])('refuses %j: %s', (text, reason) => {
    expect(verdict(text)).toBe(reason);
  });

  test('plain http only where it is allowed', () => {
    expect(verdict('http://example.com/', { allowHttp: true })).toBe('http://example.com/');
  });

  test('a port that the URL leaves out is judged too', () => {
    const ports = parsePortRanges('8080');
    expect(verdict('https://example.com/', { ports })).toBe('port_not_allowed');
    expect(verdict('http://example.com/', { ports, allowHttp: true })).toBe('port_not_allowed');
  });

  test('2,048 characters are enough, 2,049 are too many', () => {
    const base = 'https://example.com/';
    expect(verdict(base.padEnd(2_048, 'p'))).toHaveLength(2_048);
    expect(verdict(base.padEnd(2_049, 'p'))).toBe('url_too_long');
  });

  test.each([
    'https://127.0.0.1/',
    'https://127.0.0.1./',
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0x7f.0.0.1/',
    'https://0177.0.0.1/',
    'https://017700000001/',
    'https://127.0.0.1/',
    'https://%31%32%37.0.0.1/',
    'https://①②⑦.⓪.⓪.①/',
    'https://169.254.169.254/latest/meta-data/',
    'https://0/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://[::127.0.0.1]/',
    'https://[::ffff:0:127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[2002:7f00:1::]/',
    'https://[fd00:ec2::254]/',
    'https://[fe80::1]/',
  ])('refuses the literal %s', (text) => {
    expect(verdict(text)).toBe('address_not_allowed');
  });
});

describe('judgeForRegistration', () => {
  const url = 'https://receiver.test/hooks';

  async function registration(lookup: HostLookup, text = url, timeoutMs = 50): Promise<string> {
    const policy = policyWith({ lookup, registrationLookupTimeoutMs: timeoutMs });
    const judgement = await policy.judgeForRegistration(text);
    return judgement.ok ? 'ok' : judgement.reason;
  }

  test('looks the name up and lets public addresses through', async () => {
    expect(await registration(answering(PUBLIC, PUBLIC_V6))).toBe('ok');
  });

  test.each([[[PRIVATE]], [[PUBLIC, PRIVATE]], [[PRIVATE, PUBLIC_V6]]])(
    'refuses a name with a private address among its own: %j',
    async (addresses) => {
      expect(await registration(answering(...addresses))).toBe('address_not_allowed');
    },
  );

  test('accepts a name that does not resolve', async () => {
    expect(await registration(() => Promise.reject(new Error('ENOTFOUND')))).toBe('ok');
  });

  test('accepts a name whose look-up takes too long, and does not wait for it', async () => {
    const startedMs = performance.now();
    expect(await registration(() => new Promise(() => undefined))).toBe('ok');
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  test('asks no resolver about a literal or about a URL that is refused anyway', async () => {
    const asked: string[] = [];
    const lookup: HostLookup = (hostname) => {
      asked.push(hostname);
      return Promise.resolve([PUBLIC]);
    };
    expect(await registration(lookup, 'https://93.184.216.34/')).toBe('ok');
    expect(await registration(lookup, 'https://[::1]/')).toBe('address_not_allowed');
    expect(await registration(lookup, 'http://receiver.test/')).toBe('scheme_not_allowed');
    expect(asked).toEqual([]);
  });
});

test('resolveHost hands the error of the look-up on', async () => {
  const error = new Error('gone');
  await expect(policyWith({ lookup: () => Promise.reject(error) }).resolveHost('receiver.test')).rejects.toBe(
    error,
  );
});
