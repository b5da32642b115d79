import { readFileSync } from 'node:fs';

/** For tests: URLs that try to get where nothing may be sent to. */

/** Loopback, private networks, and what clouds answer on. */
const CLOSED_IPV4 = [
  ...['127.0.0.1', '127.8.8.8', '0.0.0.0', '10.0.0.7', '172.16.31.1', '192.168.1.1'],
  ...['169.254.169.254', '100.100.100.200', '168.63.129.16', '192.0.0.192'],
];
const CLOSED_IPV6 = ['::1', '::', 'fd00:ec2::254', 'fe80::1', 'fc00::1', 'fec0::1', 'ff02::1'];

export type SpellingGroup =
  | 'decimal'
  | 'octal'
  | 'hexadecimal'
  | 'short'
  | 'mixed'
  | 'Unicode'
  | 'percent-encoded'
  | 'dotted'
  | 'userinfo'
  | 'IPv4-mapped'
  | 'IPv4-compatible'
  | 'IPv4-translated'
  | 'NAT64'
  | '6to4'
  | 'Teredo'
  | 'ISATAP'
  | 'zone id'
  | 'long IPv6';

/** Hosts that mean a closed address to some parser, by how they are written. */
export function closedSpellings(): ReadonlyMap<SpellingGroup, readonly string[]> {
  const spellings = new Map<SpellingGroup, string[]>();
  const add = (group: SpellingGroup, ...hosts: string[]): void => {
    spellings.set(group, [...(spellings.get(group) ?? []), ...hosts]);
  };
  for (const address of CLOSED_IPV4) spellIpv4(address, add);
  for (const address of CLOSED_IPV6) spellIpv6(address, add);
  return spellings;
}

type Add = (group: SpellingGroup, ...hosts: string[]) => void;

function spellIpv4(address: string, add: Add): void {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  const whole = ((a * 256 + b) * 256 + c) * 256 + d;
  const hex = (value: number, digits = 0): string => value.toString(16).padStart(digits, '0');
  const octal = (value: number): string => `0${value.toString(8)}`;
  add('decimal', String(whole), `${whole}.`);
  add('octal', octal(whole), [a, b, c, d].map(octal).join('.'), `000${octal(a)}.${b}.${c}.${d}`);
  add('hexadecimal', `0x${hex(whole)}`, `0X${hex(whole).toUpperCase()}`, `0x${hex(whole, 12)}`);
  add('hexadecimal', [a, b, c, d].map((octet) => `0x${hex(octet)}`).join('.'));
  add('short', `${a}.${whole % 16_777_216}`, `${a}.${b}.${c * 256 + d}`);
  add('mixed', `0x${hex(a)}.${octal(b)}.${c}.${d}`, `${a}.0x${hex(whole % 16_777_216)}`);
  add('mixed', `${octal(a)}.${b}.0x${hex(c * 256 + d)}`, `${a}.${octal(b)}.${c}.0x${hex(d)}`);
  for (const zero of ['\uff10', '\u{1d7ce}', '\u{1d7d8}', '\u{1d7f6}']) {
    add('Unicode', digitsFrom(address, zero.codePointAt(0) ?? 0));
  }
  add(
    'Unicode',
    circled(address),
    ...['\u3002', '\uff0e', '\uff61'].map((dot) => address.replaceAll('.', dot)),
  );
  add(
    'Unicode',
    address.replace('.', '\u00ad.'),
    address.replace('.', '\u200b.'),
    address.replace('.', '.\u2060'),
  );
  add(
    'percent-encoded',
    percentEncoded(address),
    percentEncoded(String(whole)),
    address.replaceAll('.', '%2e'),
  );
  add('percent-encoded', address.replace('.', '%E3%80%82'));
  add('dotted', address, `${address}.`, `.${address}`);
  add('userinfo', `receiver.test@${address}`, `receiver.test:443@${address}`, `receiver.test%40@${address}`);
  add('userinfo', `:@${address}`, `@${address}`, `receiver.test%23@${address}`);

  const [high, low] = [hex(a * 256 + b), hex(c * 256 + d)];
  add('IPv4-mapped', `[::ffff:${address}]`, `[::ffff:${high}:${low}]`, `[0:0:0:0:0:FFFF:${high}:${low}]`);
  add('IPv4-mapped', `[0000:0000:0000:0000:0000:ffff:${address}]`);
  add('IPv4-compatible', `[::${address}]`, `[::${high}:${low}]`);
  add('IPv4-translated', `[::ffff:0:${address}]`, `[::ffff:0:${high}:${low}]`);
  add('NAT64', `[64:ff9b::${address}]`, `[64:ff9b::${high}:${low}]`, `[64:ff9b:1::${address}]`);
  add('NAT64', `[0064:ff9b:0001:ffff:ffff:ffff:${high}:${low}]`);
  add('6to4', `[2002:${high}:${low}::]`, `[2002:${high}:${low}::1]`, `[2002:${high}:${low}:1::${address}]`);
  const [inverseHigh, inverseLow] = [hex(0xffff ^ (a * 256 + b)), hex(0xffff ^ (c * 256 + d))];
  add('Teredo', `[2001:0:4136:e378:8000:63bf:${inverseHigh}:${inverseLow}]`, `[2001::${high}:${low}]`);
  add('ISATAP', `[fe80::5efe:${address}]`, `[fe80::200:5efe:${address}]`);
}

function spellIpv6(address: string, add: Add): void {
  const groups = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1).split('::') ?? [];
  const [head = [], tail = []] = groups.map((side) => side.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  const whole = [...head, ...zeros, ...tail];
  add('long IPv6', `[${address}]`, `[${address.toUpperCase()}]`, `[${whole.join(':')}]`);
  add('long IPv6', `[${whole.map((group) => group.padStart(4, '0')).join(':')}]`);
  add('zone id', `[${address}%25lo]`, `[${address}%lo]`, `[${address}%251]`, `[${address}%25]`);
}

function digitsFrom(address: string, zero: number): string {
  return address.replaceAll(/\d/g, (digit) => String.fromCodePoint(zero + Number(digit)));
}

function circled(address: string): string {
  return address.replaceAll(/\d/g, (digit) =>
    String.fromCodePoint(digit === '0' ? 0x24ea : 0x245f + Number(digit)),
  );
}

function percentEncoded(text: string): string {
  return text.replaceAll(/\d/g, (digit) => `%3${digit}`);
}

/** Names that clouds, clusters and public zones answer with closed addresses, and with which. */
export const CLOSED_NAMES: readonly (readonly [name: string, address: string])[] = [
  ...['metadata.google.internal', 'METADATA.google.internal', 'metadata.google.internal.', 'metadata'].map(
    (name) => [name, '169.254.169.254'] as const,
  ),
  ['instance-data', '169.254.169.254'],
  ['instance-data.ec2.internal', '169.254.169.254'],
  ['metadata.azure.internal', '169.254.169.254'],
  ['metadata.azure.com', '168.63.129.16'],
  ['metadata.tencentyun.com', '169.254.0.23'],
  ['metadata.aliyun.test', '100.100.100.200'],
  ['metadata.oraclecloud.test', '192.0.0.192'],
  ['kubernetes.default.svc', '10.96.0.1'],
  ['kubernetes.default.svc.cluster.local', '10.96.0.1'],
  ['host.docker.internal', '192.168.65.2'],
  ['gateway.docker.internal', '172.17.0.1'],
  ['localhost', '127.0.0.1'],
  ['LOCALHOST.', '127.0.0.1'],
  ['ip6-localhost', '::1'],
  ['localhost.localdomain', '127.0.0.1'],
  ['foo.localhost', '127.0.0.1'],
  ['lvh.me', '127.0.0.1'],
  ['localtest.me', '::1'],
  ['127.0.0.1.nip.io', '127.0.0.1'],
  ['169-254-169-254.sslip.io', '169.254.169.254'],
  ['nas.fritz.test', 'fd12:3456::7'],
  ['redis', '172.18.0.3'],
];

/** An entry of `test/corpora/url-test-data.json`. */
export interface CorpusUrl {
  readonly input: string;
  readonly base: string | null;
  /** What the parser has to make of it; absent where it has to fail. */
  readonly href?: string;
}

/** Every URL that the WHATWG's own tests hold. */
export function corpusUrls(): readonly CorpusUrl[] {
  const file = new URL('../../../../test/corpora/url-test-data.json', import.meta.url);
  const entries = JSON.parse(readFileSync(file, 'utf8')) as readonly (string | CorpusUrl)[];
  return entries.filter((entry) => typeof entry !== 'string');
}
