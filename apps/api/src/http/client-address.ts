import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = readonly [Address, number];

/** An IPv6 customer gets at least this much, so that any address in it is the same client (RFC 6177). */
const IPV6_BLOCK_BITS = 64;
const UNKNOWN = 'unknown';

/**
 * Fastify's `trustProxy`: which peers and hops are believed when they name, in X-Forwarded-For, who they speak for.
 * @param cidrs valid ones; without any, the header of everybody is ignored
 */
export function trustedProxies(cidrs: readonly string[]): false | ((hop: string) => boolean) {
  if (cidrs.length === 0) return false;
  const networks = cidrs.map(networkOf);
  return (hop) => {
    const address = addressOf(hop);
    return address !== null && networks.some((network) => isWithin(address, network));
  };
}

/**
 * The address that the request comes from: the rightmost hop of X-Forwarded-For that is not a trusted proxy, and without
 * trusted proxies the peer of the connection. A hop that is no address ends the chain at the proxy that reported it.
 * IPv4-mapped addresses are written as IPv4. Null: the connection is gone.
 */
export function clientAddressOf(request: FastifyRequest): string | null {
  return clientAddress(request)?.toString() ?? null;
}

/** What counts as one client: an IPv4 address, or an IPv6 /64. */
export function addressBlockOf(request: FastifyRequest): string {
  const address = clientAddress(request);
  if (address === null || address.kind() === 'ipv4') return address?.toString() ?? UNKNOWN;
  return ipaddr.IPv6.networkAddressFromCIDR(`${address.toString()}/${IPV6_BLOCK_BITS}`).toString();
}

function clientAddress(request: FastifyRequest): Address | null {
  // Peer first, client last; without trusted proxies Fastify gives no list. A connection that is gone has no address.
  const hops: readonly (string | undefined)[] = request.ips ?? [request.ip];
  for (const hop of hops.toReversed()) {
    const address = hop === undefined ? null : addressOf(hop);
    if (address !== null) return address;
  }
  return null;
}

/** Some proxies write the port too: `203.0.113.7:4711`, `[2001:db8::7]:4711`. */
const WITH_PORT = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d{1,5})?$/;

function addressOf(hop: string): Address | null {
  const [, bracketed, plain] = WITH_PORT.exec(hop) ?? [];
  const [text = ''] = (bracketed ?? plain ?? hop).split('%', 1);
  return isIP(text) === 0 ? null : ipaddr.process(text);
}

function networkOf(cidr: string): Network {
  const [address, bits] = ipaddr.parseCIDR(cidr);
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
    return [address.toIPv4Address(), bits - 96];
  }
  return [address, bits];
}

function isWithin(address: Address, [network, bits]: Network): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}
