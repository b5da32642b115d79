/** For tests: which addresses may be connected to, said once more and independently of the policy. */

interface Edges {
  readonly block: string;
  readonly first: string;
  readonly last: string;
  /** The address right before the block, and whether it may be connected to; null: there is none. */
  readonly before: readonly [address: string, isAllowed: boolean] | null;
  readonly after: readonly [address: string, isAllowed: boolean] | null;
}

function edges(
  block: string,
  first: string,
  last: string,
  before: Edges['before'],
  after: Edges['after'],
): Edges {
  return { block, first, last, before, after };
}

const FFFF = 'ffff:ffff:ffff:ffff';

/** The IANA Special-Purpose Address Registries of both families, multicast, and what clouds answer on. */
const SPECIAL_BLOCKS: readonly Edges[] = [
  edges('this network', '0.0.0.0', '0.255.255.255', null, ['1.0.0.0', true]),
  edges('private', '10.0.0.0', '10.255.255.255', ['9.255.255.255', true], ['11.0.0.0', true]),
  edges('shared', '100.64.0.0', '100.127.255.255', ['100.63.255.255', true], ['100.128.0.0', true]),
  edges('loopback', '127.0.0.0', '127.255.255.255', ['126.255.255.255', true], ['128.0.0.0', true]),
  edges('a cloud’s host', '168.63.129.16', '168.63.129.16', ['168.63.129.15', true], ['168.63.129.17', true]),
  edges('link local', '169.254.0.0', '169.254.255.255', ['169.253.255.255', true], ['169.255.0.0', true]),
  edges('private', '172.16.0.0', '172.31.255.255', ['172.15.255.255', true], ['172.32.0.0', true]),
  edges('protocol assignments', '192.0.0.0', '192.0.0.255', ['191.255.255.255', true], ['192.0.1.0', true]),
  edges('documentation', '192.0.2.0', '192.0.2.255', ['192.0.1.255', true], ['192.0.3.0', true]),
  edges('AS112', '192.31.196.0', '192.31.196.255', ['192.31.195.255', true], ['192.31.197.0', true]),
  edges('AMT', '192.52.193.0', '192.52.193.255', ['192.52.192.255', true], ['192.52.194.0', true]),
  edges('6to4 relays', '192.88.99.0', '192.88.99.255', ['192.88.98.255', true], ['192.88.100.0', true]),
  edges('private', '192.168.0.0', '192.168.255.255', ['192.167.255.255', true], ['192.169.0.0', true]),
  edges('AS112', '192.175.48.0', '192.175.48.255', ['192.175.47.255', true], ['192.175.49.0', true]),
  edges('benchmarking', '198.18.0.0', '198.19.255.255', ['198.17.255.255', true], ['198.20.0.0', true]),
  edges('documentation', '198.51.100.0', '198.51.100.255', ['198.51.99.255', true], ['198.51.101.0', true]),
  edges('documentation', '203.0.113.0', '203.0.113.255', ['203.0.112.255', true], ['203.0.114.0', true]),
  edges('multicast', '224.0.0.0', '239.255.255.255', ['223.255.255.255', true], ['240.0.0.0', false]),
  edges('reserved', '240.0.0.0', '255.255.255.254', ['239.255.255.255', false], ['255.255.255.255', false]),
  edges('unspecified', '::', '::', null, ['::1', false]),
  edges('loopback', '::1', '::1', ['::', false], ['::2', false]),
  edges('IPv4-compatible', '::0.0.0.2', '::255.255.255.255', ['::1', false], ['::1:0:0', false]),
  edges(
    'IPv4-mapped',
    '::ffff:0.0.0.0',
    '::ffff:255.255.255.255',
    [`::fffe:ffff:ffff`, false],
    ['::1:0:0:0', false],
  ),
  edges('IPv4-translated', '::ffff:0:0.0.0.0', '::ffff:0:255.255.255.255', null, null),
  edges(
    'NAT64',
    '64:ff9b::',
    '64:ff9b::255.255.255.255',
    ['64:ff9a:ffff::', false],
    ['64:ff9b::1:0:0', false],
  ),
  edges(
    'local NAT64',
    '64:ff9b:1::',
    `64:ff9b:1:ffff:${FFFF}`,
    ['64:ff9b:0:ffff::', false],
    ['64:ff9b:2::', false],
  ),
  edges('discard', '100::', `100::${FFFF}`, ['ff:ffff::', false], ['100:0:0:1::', false]),
  edges('dummy prefix', '100:0:0:1::', `100:0:0:1:${FFFF}`, null, ['100:0:0:2::', false]),
  edges('unallocated', '200::', `1fff:ffff:ffff:ffff:${FFFF}`, null, ['2000::', true]),
  edges(
    'Teredo',
    '2001::',
    `2001:0:ffff:ffff:${FFFF}`,
    [`2000:ffff:ffff:ffff:${FFFF}`, true],
    ['2001:1::', false],
  ),
  edges('port control', '2001:1::1', '2001:1::3', ['2001:1::', false], ['2001:1::4', false]),
  edges('benchmarking', '2001:2::', `2001:2:0:ffff:${FFFF}`, null, ['2001:2:1::', false]),
  edges('AMT', '2001:3::', `2001:3:ffff:ffff:${FFFF}`, null, null),
  edges('AS112', '2001:4:112::', `2001:4:112:ffff:${FFFF}`, null, null),
  edges('ORCHID', '2001:10::', `2001:1f:ffff:ffff:${FFFF}`, null, null),
  edges('ORCHIDv2', '2001:20::', `2001:2f:ffff:ffff:${FFFF}`, null, null),
  edges('drone ids', '2001:30::', `2001:3f:ffff:ffff:${FFFF}`, null, null),
  edges('protocol assignments', '2001:40::', `2001:1ff:ffff:ffff:${FFFF}`, null, ['2001:200::', true]),
  edges(
    'documentation',
    '2001:db8::',
    `2001:db8:ffff:ffff:${FFFF}`,
    [`2001:db7:ffff:ffff:${FFFF}`, true],
    ['2001:db9::', true],
  ),
  edges(
    '6to4',
    '2002::',
    `2002:ffff:ffff:ffff:${FFFF}`,
    [`2001:ffff:ffff:ffff:${FFFF}`, true],
    ['2003::', true],
  ),
  edges(
    'AS112',
    '2620:4f:8000::',
    `2620:4f:8000:ffff:${FFFF}`,
    [`2620:4f:7fff:ffff:${FFFF}`, true],
    ['2620:4f:8001::', true],
  ),
  edges(
    'documentation',
    '3fff::',
    `3fff:fff:ffff:ffff:${FFFF}`,
    [`3ffe:ffff:ffff:ffff:${FFFF}`, true],
    ['3fff:1000::', true],
  ),
  edges(
    'unallocated',
    '4000::',
    `5eff:ffff:ffff:ffff:${FFFF}`,
    [`3fff:ffff:ffff:ffff:${FFFF}`, true],
    ['5f00::', false],
  ),
  edges('segment routing', '5f00::', `5f00:ffff:ffff:ffff:${FFFF}`, null, ['5f01::', false]),
  edges('unallocated', '6000::', `fbff:ffff:ffff:ffff:${FFFF}`, null, null),
  edges('unique local', 'fc00::', `fdff:ffff:ffff:ffff:${FFFF}`, null, ['fe00::', false]),
  edges('link local', 'fe80::', `febf:ffff:ffff:ffff:${FFFF}`, ['fe7f:ffff::', false], null),
  edges('site local', 'fec0::', `feff:ffff:ffff:ffff:${FFFF}`, null, null),
  edges('multicast', 'ff00::', `ffff:ffff:ffff:ffff:${FFFF}`, null, null),
];

/** Where receivers are: plain public unicast of both families. */
const PUBLIC_ADDRESSES = [
  ...[
    '1.1.1.1',
    '8.8.8.8',
    '20.50.2.1',
    '34.120.0.1',
    '52.95.110.1',
    '93.184.216.34',
    '104.16.0.1',
    '151.101.1.1',
  ],
  ...['185.199.108.153', '196.200.0.1', '223.255.255.254', '41.66.192.1', '102.176.0.1', '154.160.0.1'],
  ...[
    '2001:200::1',
    '2001:4860:4860::8888',
    '2400:cb00::1',
    '2600:1f18::1',
    '2606:4700::1111',
    '2620:fe::fe',
  ],
  ...['2803:f800::1', '2a00:1450:4001:81b::200e', '2a06:98c0::1', '2c0f:f248::1', '2c0f:ffff::1'],
];

/** Metadata services and the like of clouds and clusters, wherever they are. */
const SERVICE_ADDRESSES = [
  ...[
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '169.254.169.123',
    '169.254.169.253',
    '169.254.0.23',
  ],
  ...[
    '100.100.100.200',
    '192.0.0.192',
    '168.63.129.16',
    '10.96.0.1',
    '172.17.0.1',
    '192.168.65.2',
    '127.0.0.53',
  ],
  ...['fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fe80::a9fe:a9fe'],
];

/** What routers and machines are called in most private networks, and the same written into IPv6. */
const PRIVATE_ADDRESSES = [
  ...['127.0.0.1', '10.0.0.1', '10.1.2.3', '172.17.0.2', '172.31.255.254', '192.168.0.1', '192.168.178.1'],
  ...['100.64.0.1', 'fd12:3456:789a::1', '::ffff:169.254.169.254', '2002:a9fe:a9fe::1', '64:ff9b::a9fe:a9fe'],
];

export interface AddressCase {
  readonly group:
    'edge of a special block' | 'neighbour of a special block' | 'public' | 'service of a cloud' | 'private';
  readonly address: string;
  readonly isAllowed: boolean;
}

/** Each address once. */
export const ADDRESS_CASES: readonly AddressCase[] = [
  ...new Map(
    [
      ...SPECIAL_BLOCKS.flatMap(({ before, after }) =>
        [before, after].flatMap((neighbour): AddressCase[] =>
          neighbour === null
            ? []
            : [{ group: 'neighbour of a special block', address: neighbour[0], isAllowed: neighbour[1] }],
        ),
      ),
      ...SPECIAL_BLOCKS.flatMap(({ first, last }) =>
        [first, last].map((address): AddressCase => ({
          group: 'edge of a special block',
          address,
          isAllowed: false,
        })),
      ),
      ...PUBLIC_ADDRESSES.map((address): AddressCase => ({ group: 'public', address, isAllowed: true })),
      ...SERVICE_ADDRESSES.map((address): AddressCase => ({
        group: 'service of a cloud',
        address,
        isAllowed: false,
      })),
      ...PRIVATE_ADDRESSES.map((address): AddressCase => ({ group: 'private', address, isAllowed: false })),
    ].map((addressCase) => [addressCase.address, addressCase]),
  ).values(),
];
