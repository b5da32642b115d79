import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import type { AddressPolicy } from './address-policy.js';
import { createSystemLookup, type HostLookup } from './host-lookup.js';
import { isPortIn, type PortRanges } from './port-ranges.js';

/** What browsers and proxies still carry; a longer address of a receiver is a mistake. */
const URL_LENGTH_MAX = 2_048;

/** A person waits for the answer to a registration; a slow name server is judged when sending instead. */
const REGISTRATION_LOOKUP_TIMEOUT_MS = 2_000;

export type UrlRefusal =
  | 'url_malformed'
  | 'url_too_long'
  | 'scheme_not_allowed'
  | 'credentials_not_allowed'
  | 'port_not_allowed'
  | 'address_not_allowed';

export type UrlJudgement =
  { readonly ok: true; readonly url: URL } | { readonly ok: false; readonly reason: UrlRefusal };

/** `ok: false`: the name stands for at least one address that may not be connected to. */
export type HostJudgement =
  { readonly ok: true; readonly addresses: readonly LookupAddress[] } | { readonly ok: false };

export interface EgressPolicyOptions {
  readonly addresses: AddressPolicy;
  readonly ports: PortRanges;
  /** Whether endpoints may be plain `http`. */
  readonly allowHttp: boolean;
  /** The system's resolver if left out. */
  readonly lookup?: HostLookup;
  /** 2,000 if left out. */
  readonly registrationLookupTimeoutMs?: number;
}

/**
 * Where Posthorn may send to. The same judge at registration and, again, at every connect: what a name stands for
 * can change in between.
 */
export class EgressPolicy {
  readonly #addresses: AddressPolicy;
  readonly #ports: PortRanges;
  readonly #allowHttp: boolean;
  readonly #lookup: HostLookup;
  readonly #registrationLookupTimeoutMs: number;

  constructor(options: EgressPolicyOptions) {
    this.#addresses = options.addresses;
    this.#ports = options.ports;
    this.#allowHttp = options.allowHttp;
    this.#lookup = options.lookup ?? createSystemLookup();
    this.#registrationLookupTimeoutMs = options.registrationLookupTimeoutMs ?? REGISTRATION_LOOKUP_TIMEOUT_MS;
  }

  /**
   * Judges what the text of a URL shows: scheme, credentials, length, port, and the address where the host is a
   * literal. Decimal, octal and hexadecimal IPv4 forms are literals too: the WHATWG parser, which is also the one
   * that the sender connects by, turns them into the dotted form.
   */
  judgeUrl(text: string): UrlJudgement {
    if (text.length > URL_LENGTH_MAX) return refused('url_too_long');
    // The parser silently drops line breaks, tabs and outer blanks; what is stored should be what is meant.
    if (hasControlOrBlank(text)) return refused('url_malformed');
    const url = URL.parse(text);
    if (url === null) return refused('url_malformed');
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && this.#allowHttp)) {
      return refused('scheme_not_allowed');
    }
    if (url.username !== '' || url.password !== '') return refused('credentials_not_allowed');
    if (!isPortIn(this.#ports, portOf(url))) return refused('port_not_allowed');
    const hostname = hostnameOf(url);
    if (isIP(hostname) !== 0 && !this.#addresses.isAllowed(hostname)) return refused('address_not_allowed');
    return { ok: true, url };
  }

  /**
   * As {@link judgeUrl}, and the name looked up as well, for at most 2 s. A name that does not resolve, or not in
   * time, is accepted: it is judged again when sending. Never rejects.
   */
  async judgeForRegistration(text: string): Promise<UrlJudgement> {
    const judgement = this.judgeUrl(text);
    if (!judgement.ok) return judgement;
    const { promise: timedOut, resolve } = Promise.withResolvers<null>();
    const timer = setTimeout(resolve, this.#registrationLookupTimeoutMs, null);
    const unresolved = (): null => null;
    const host = await Promise.race([
      this.resolveHost(hostnameOf(judgement.url)).catch(unresolved),
      timedOut,
    ]);
    clearTimeout(timer);
    return host === null || host.ok ? judgement : refused('address_not_allowed');
  }

  /**
   * The addresses of a host, all of them allowed, or a refusal of the whole host: a name with one private address
   * among public ones is either a mistake or an attack, and picking the public one would only hide it.
   *
   * @throws what the look-up threw.
   */
  async resolveHost(hostname: string): Promise<HostJudgement> {
    const family = isIP(hostname);
    const addresses = family === 0 ? await this.#lookup(hostname) : [{ address: hostname, family }];
    return addresses.every(({ address }) => this.isAddressAllowed(address))
      ? { ok: true, addresses }
      : { ok: false };
  }

  isAddressAllowed(address: string): boolean {
    return this.#addresses.isAllowed(address);
  }
}

/** The host as a resolver or a socket takes it: IPv6 literals without their brackets. */
export function hostnameOf(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

function refused(reason: UrlRefusal): UrlJudgement {
  return { ok: false, reason };
}

function hasControlOrBlank(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit <= 0x20 || unit === 0x7f) return true;
  }
  return false;
}
