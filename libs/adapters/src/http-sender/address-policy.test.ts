import { describe, expect, test } from '@jest/globals';
import { createAddressPolicy } from './address-policy.js';

const strict = createAddressPolicy({ allowCidrs: [] });

describe('public addresses are allowed', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '93.184.216.34',
    '100.63.255.255',
    '100.128.0.1',
    '126.255.255.255',
    '128.0.0.1',
    '168.63.129.15',
    '168.63.129.17',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2000::1',
    '2001:200::1',
    '2001:4860:4860::8888',
    '2606:4700::1111',
    '2a00:1450:4001:81b::200e',
    '3ffe:ffff::1',
  ])('%s', (address) => {
    expect(strict.isAllowed(address)).toBe(true);
  });
});

describe('special addresses are refused, first and last of each block', () => {
  test.each([
    ['this network', '0.0.0.0', '0.255.255.255'],
    ['private 10/8', '10.0.0.0', '10.255.255.255'],
    ['carrier-grade NAT', '100.64.0.0', '100.127.255.255'],
    ['loopback', '127.0.0.0', '127.255.255.255'],
    ['link local', '169.254.0.0', '169.254.255.255'],
    ['metadata', '169.254.169.254', '100.100.100.200'],
    ['private 172.16/12', '172.16.0.0', '172.31.255.255'],
    ['IETF assignments', '192.0.0.0', '192.0.0.255'],
    ['documentation 1', '192.0.2.0', '192.0.2.255'],
    ['AS112', '192.31.196.0', '192.31.196.255'],
    ['AMT', '192.52.193.0', '192.52.193.255'],
    ['6to4 relays', '192.88.99.0', '192.88.99.255'],
    ['private 192.168/16', '192.168.0.0', '192.168.255.255'],
    ['AS112 delegation', '192.175.48.0', '192.175.48.255'],
    ['benchmarking', '198.18.0.0', '198.19.255.255'],
    ['documentation 2', '198.51.100.0', '198.51.100.255'],
    ['documentation 3', '203.0.113.0', '203.0.113.255'],
    ['multicast', '224.0.0.0', '239.255.255.255'],
    ['reserved and broadcast', '240.0.0.0', '255.255.255.255'],
    ['the host agent of a cloud', '168.63.129.16', '168.63.129.16'],
    ['unspecified and loopback v6', '::', '::1'],
    ['IPv4-compatible', '::127.0.0.1', '::8.8.8.8'],
    ['IPv4-mapped', '::ffff:127.0.0.1', '::ffff:8.8.8.8'],
    ['IPv4-mapped in hex', '::ffff:7f00:1', '0:0:0:0:0:ffff:a9fe:a9fe'],
    ['IPv4-translated', '::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8'],
    ['NAT64', '64:ff9b::', '64:ff9b::ffff:ffff'],
    ['local NAT64', '64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
    ['discard only', '100::', '100::ffff:ffff:ffff:ffff'],
    ['below global unicast', '1fff:ffff::1', '1000::1'],
    ['Teredo', '2001::', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['v6 benchmarking and ORCHIDv2', '2001:2::1', '2001:2f:ffff::1'],
    ['end of the IETF assignments', '2001:30::1', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['v6 documentation', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['6to4', '2002:7f00:1::', '2002:808:808::1'],
    ['v6 AS112 delegation', '2620:4f:8000::', '2620:4f:8000:ffff:ffff:ffff:ffff:ffff'],
    ['new v6 documentation', '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['above global unicast', '4000::1', '5f00::1'],
    ['unique local', 'fc00::1', 'fdff::1'],
    ['v6 metadata', 'fd00:ec2::254', 'fd20:ce::254'],
    ['link local v6', 'fe80::1', 'febf::1'],
    ['site local', 'fec0::1', 'feff::1'],
    ['multicast v6', 'ff02::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ])('%s', (_block, first, last) => {
    expect([strict.isAllowed(first), strict.isAllowed(last)]).toEqual([false, false]);
  });
});

describe('what is not exactly one address is refused, also when everything is let through', () => {
  const everything = createAddressPolicy({ allowCidrs: ['0.0.0.0/0', '::/0'] });
  test.each([
    '',
    ' ',
    'localhost',
    'example.com',
    '8.8.8',
    '134744072',
    '0x08080808',
    '010.8.8.8',
    '8.8.8.8.',
    '8.8.8.8/32',
    ' 8.8.8.8',
    '[2606:4700::1111]',
    '2606:4700::1111%eth0',
    'fe80::1%lo',
    '8.8.8.8\0',
  ])('%j', (text) => {
    expect(everything.isAllowed(text)).toBe(false);
  });

  test('a plain address is let through by the same policy', () => {
    expect(everything.isAllowed('127.0.0.1')).toBe(true);
    expect(everything.isAllowed('::ffff:127.0.0.1')).toBe(true);
  });
});

describe("the operator's list", () => {
  const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8', ' ::1/128 ', '10.20.0.0/16'] });

  test('adds to what is public', () => {
    expect(policy.isAllowed('127.0.0.1')).toBe(true);
    expect(policy.isAllowed('::1')).toBe(true);
    expect(policy.isAllowed('10.20.255.255')).toBe(true);
    expect(policy.isAllowed('8.8.8.8')).toBe(true);
  });

  test('lets nothing else through, and no other way to write the same place', () => {
    expect(policy.isAllowed('10.21.0.0')).toBe(false);
    expect(policy.isAllowed('::2')).toBe(false);
    expect(policy.isAllowed('::ffff:127.0.0.1')).toBe(false);
    expect(policy.isAllowed('64:ff9b::7f00:1')).toBe(false);
  });

  test.each([
    '',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    'none',
  ])('refuses %j with an error that names it', (entry) => {
    expect(() => createAddressPolicy({ allowCidrs: ['127.0.0.0/8', entry] })).toThrow(JSON.stringify(entry));
  });
});
