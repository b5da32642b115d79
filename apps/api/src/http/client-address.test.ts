import { describe, expect, test } from '@jest/globals';
import Fastify from 'fastify';
import { addressBlockOf, clientAddressOf, trustedProxies } from './client-address.js';

interface Case {
  readonly trusted: readonly string[];
  readonly peer: string;
  readonly forwarded?: string | string[];
}

async function seen({ trusted, peer, forwarded }: Case): Promise<unknown> {
  const fastify = Fastify({ trustProxy: trustedProxies(trusted) });
  fastify.get('/', (request) => ({ address: clientAddressOf(request), block: addressBlockOf(request) }));
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  const response = await fastify.inject({ url: '/', remoteAddress: peer, headers });
  await fastify.close();
  return response.json();
}

const INNER = '10.0.0.0/8';
const EDGE = '198.51.100.0/24';

describe('the client is', () => {
  test.each<[string, Case, string]>([
    ['the peer, without any header', { trusted: [], peer: '203.0.113.7' }, '203.0.113.7'],
    [
      'the peer, whatever it claims, when nobody is trusted',
      { trusted: [], peer: '203.0.113.7', forwarded: '192.0.2.1' },
      '203.0.113.7',
    ],
    [
      'the peer, whatever it claims, when only others are trusted',
      { trusted: [INNER], peer: '203.0.113.7', forwarded: '192.0.2.1' },
      '203.0.113.7',
    ],
    [
      'whom a trusted proxy names',
      { trusted: [INNER], peer: '10.0.0.1', forwarded: '203.0.113.7' },
      '203.0.113.7',
    ],
    [
      'whom two trusted proxies name, not what the client itself sent',
      { trusted: [INNER, EDGE], peer: '10.0.0.1', forwarded: '192.0.2.1, 203.0.113.7, 198.51.100.9' },
      '203.0.113.7',
    ],
    [
      'the first hop that is not trusted, although one beyond it is',
      { trusted: [INNER], peer: '10.0.0.1', forwarded: '10.0.0.2, 203.0.113.7' },
      '203.0.113.7',
    ],
    [
      'the farthest hop when all of them are trusted',
      { trusted: [INNER], peer: '10.0.0.1', forwarded: '10.0.0.3,10.0.0.2' },
      '10.0.0.3',
    ],
    ['a trusted proxy that names nobody', { trusted: [INNER], peer: '10.0.0.1', forwarded: ' ' }, '10.0.0.1'],
    [
      'across several headers',
      { trusted: [INNER], peer: '10.0.0.1', forwarded: ['192.0.2.1', '203.0.113.7, 10.0.0.2'] },
      '203.0.113.7',
    ],
    ['an IPv4-mapped peer, written as IPv4', { trusted: [], peer: '::ffff:203.0.113.7' }, '203.0.113.7'],
    [
      'whom an IPv4-mapped peer names, when its IPv4 network is trusted',
      { trusted: [INNER], peer: '::ffff:10.0.0.1', forwarded: '::ffff:203.0.113.7' },
      '203.0.113.7',
    ],
    [
      'whom a peer names whose network is trusted as IPv4-mapped',
      { trusted: ['::ffff:10.0.0.0/104'], peer: '10.0.0.1', forwarded: '203.0.113.7' },
      '203.0.113.7',
    ],
    [
      'whom an IPv6 proxy names',
      { trusted: ['fd00::/8'], peer: 'fd00::1', forwarded: '2001:db8::7' },
      '2001:db8::7',
    ],
    ['a link-local peer without its zone', { trusted: [], peer: 'fe80::1%eth0' }, 'fe80::1'],
    [
      'an address with a port',
      { trusted: [INNER], peer: '10.0.0.1', forwarded: '203.0.113.7:4711, 10.0.0.2:80' },
      '203.0.113.7',
    ],
    [
      'an IPv6 address with a port',
      { trusted: [INNER], peer: '10.0.0.1', forwarded: '[2001:db8::7]:4711' },
      '2001:db8::7',
    ],
  ])('%s', async (_, request, address) => {
    expect(await seen(request)).toMatchObject({ address });
  });

  test.each([
    'garbage',
    'unknown',
    '_hidden',
    '203.0.113.256',
    '203.0.113',
    '0x7f.1',
    '2130706433',
    'for=203.0.113.7',
    '203.0.113.7/32',
    '[203.0.113.7',
    '<script>',
    '192.0.2.1, garbage',
    '192.0.2.1, 203.0.113.256',
    'x'.repeat(4_000),
  ])('the proxy that reports %j, which is no address', async (forwarded) => {
    expect(await seen({ trusted: [INNER], peer: '10.0.0.1', forwarded })).toMatchObject({
      address: '10.0.0.1',
    });
  });
});

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'],
  ['2001:db8:1:2::1', '2001:db8:1:2::'],
  ['2001:db8:1:3::1', '2001:db8:1:3::'],
])('%s is counted as %s', async (peer, block) => {
  expect(await seen({ trusted: [], peer })).toMatchObject({ block });
});
