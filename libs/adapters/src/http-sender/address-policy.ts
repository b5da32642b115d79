import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Cidr = readonly [network: Address, prefixBits: number];

/** Says which IP addresses Posthorn may connect to. Pure: no look-up, no clock. */
export interface AddressPolicy {
  /** `address` is an IPv4 or IPv6 address as text; anything else, a zone id included, is not allowed. */
  isAllowed(address: string): boolean;
}

export interface AddressPolicyOptions {
  /** CIDRs that an operator lets through although they are not public. */
  readonly allowCidrs: readonly string[];
}

/**
 * Every IPv4 block that is not plain public unicast: the IANA IPv4 Special-Purpose Address Registry whole (also
 * the few blocks in it that are globally reachable, because no webhook receiver lives there), multicast, and the
 * one public address that a cloud answers on from inside its own machines.
 */
const REFUSED_IPV4_CIDRS = [
  '0.0.0.0/8', // this network (RFC 791)
  '10.0.0.0/8', // private (RFC 1918)
  '100.64.0.0/10', // carrier-grade NAT (RFC 6598); some clouds' metadata, 100.100.100.200, is in it
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link local (RFC 3927); most clouds' metadata, 169.254.169.254, is in it
  '172.16.0.0/12', // private (RFC 1918)
  '192.0.0.0/24', // IETF protocol assignments (RFC 6890); a cloud's metadata, 192.0.0.192, is in it
  '192.0.2.0/24', // documentation (RFC 5737)
  '192.31.196.0/24', // AS112 (RFC 7535)
  '192.52.193.0/24', // AMT (RFC 7450)
  '192.88.99.0/24', // 6to4 relays, deprecated (RFC 7526)
  '192.168.0.0/16', // private (RFC 1918)
  '192.175.48.0/24', // AS112 direct delegation (RFC 7534)
  '198.18.0.0/15', // benchmarking (RFC 2544)
  '198.51.100.0/24', // documentation (RFC 5737)
  '203.0.113.0/24', // documentation (RFC 5737)
  '224.0.0.0/4', // multicast (RFC 5771)
  '240.0.0.0/4', // reserved (RFC 1112), the limited broadcast address included
  '168.63.129.16/32', // Azure's host agent: a public address that means "this machine's host"
];

/**
 * The one IPv6 block that IANA hands out as global unicast. Everything outside it is refused without being named:
 * loopback, unique local, link local, multicast, SRv6, and every form outside it that carries an IPv4 address
 * (IPv4-mapped, IPv4-compatible, IPv4-translated, NAT64). Those forms are refused rather than judged by the
 * address they carry: no resolver answers a receiver's name with them except where NAT64 is in use, and there
 * the translator may reach networks that this policy cannot see, so that is an operator's decision.
 */
const PUBLIC_IPV6_CIDR = '2000::/3';

/** What the IANA IPv6 Special-Purpose Address Registry takes out of the public block. */
const REFUSED_IPV6_CIDRS = [
  '2001::/23', // IETF protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID, AMT, drone ids and more
  '2001:db8::/32', // documentation (RFC 3849)
  '2002::/16', // 6to4 (RFC 3056): carries any IPv4 address, private ones too
  '2620:4f:8000::/48', // AS112 direct delegation (RFC 7534)
  '3fff::/20', // documentation (RFC 9637)
];

const refusedIpv4 = REFUSED_IPV4_CIDRS.map(parseCidr);
const publicIpv6 = parseCidr(PUBLIC_IPV6_CIDR);
const refusedIpv6 = REFUSED_IPV6_CIDRS.map(parseCidr);

/**
 * An allow-list: public unicast addresses, and whatever lies in `allowCidrs`.
 *
 * @throws {RangeError} when an entry of `allowCidrs` is not a CIDR.
 */
export function createAddressPolicy(options: AddressPolicyOptions): AddressPolicy {
  const operatorCidrs = options.allowCidrs.map(parseCidr);
  return {
    isAllowed(address) {
      const parsed = parseAddress(address);
      return parsed !== null && (isPublic(parsed) || operatorCidrs.some((cidr) => contains(cidr, parsed)));
    },
  };
}

function isPublic(address: Address): boolean {
  if (address.kind() === 'ipv4') return !refusedIpv4.some((cidr) => contains(cidr, address));
  return contains(publicIpv6, address) && !refusedIpv6.some((cidr) => contains(cidr, address));
}

/** An address is only ever in a network of its own family: `::ffff:127.0.0.1` is not in `127.0.0.0/8`. */
function contains([network, prefixBits]: Cidr, address: Address): boolean {
  return network.kind() === address.kind() && address.match(network, prefixBits);
}

/**
 * `isIP` goes first because ipaddr.js also reads what only look like addresses: octal, hexadecimal and shortened
 * forms, on which parsers disagree.
 */
function parseAddress(text: string): Address | null {
  return isIP(text) === 0 || text.includes('%') ? null : ipaddr.parse(text);
}

function parseCidr(text: string): Cidr {
  const [addressText = '', prefixText = '', ...rest] = text.trim().split('/');
  const network = parseAddress(addressText);
  const prefixBits = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  const prefixBitsMax = network?.kind() === 'ipv4' ? 32 : 128;
  if (network === null || rest.length > 0 || !(prefixBits <= prefixBitsMax)) {
    throw new RangeError(`not a CIDR, such as 10.0.0.0/8 or fd00::/8: ${JSON.stringify(text)}`);
  }
  return [network, prefixBits];
}
