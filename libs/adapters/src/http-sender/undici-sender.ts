import { createHash } from 'node:crypto';
import { createSecureContext, getCACertificates } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { ClientCertificate, OutgoingRequest, Sender, SendResult } from '#pipeline/sender.js';
import { Connection, StaleConnectionError, type ConnectionRequest } from './connection.js';
import { ConnectPace } from './connect-pace.js';
import { Deadline } from './deadline.js';
import type { EgressPolicy, UrlRefusal } from './egress-policy.js';
import type { EgressProxy } from './egress-proxy.js';
import type { ReceivedResponse } from './exchange.js';
import { IdleConnections } from './idle-connections.js';
import {
  defaultTcpConnect,
  openSocket,
  type Destination,
  type SocketOpener,
  type TcpConnect,
} from './open-socket.js';
import { SendError } from './send-error.js';

export interface UndiciSenderOptions {
  readonly egress: EgressPolicy;
  /** Everything goes through it where it is given. */
  readonly proxy?: EgressProxy | null;
  /** PEM certificates trusted besides the system's. For tests: receivers' certificates are judged by public ones. */
  readonly extraCaCertificates?: readonly string[];
  /** For tests that count connects. */
  readonly tcpConnect?: TcpConnect;
}

/** Ours or undici's to set: a second `host` or another length would let a header decide who reads what. */
const RESERVED_HEADER_NAMES: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** RFC 9110, 5.6.2. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, 5.5, as Latin-1. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Some megabytes of the longest URLs; what more endpoints than these cost is a few microseconds a request. */
const JUDGED_URLS_MAX = 1_000;
/** Ours, the dialects' and the merchants' own; past these, names are looked at each time. */
const KNOWN_HEADER_NAMES_MAX = 1_000;

const REFUSAL_MESSAGES: Readonly<Record<UrlRefusal, string>> = {
  url_malformed: 'the URL is not one',
  url_too_long: 'the URL is too long',
  scheme_not_allowed: "the URL's scheme is not allowed",
  credentials_not_allowed: 'the URL carries credentials',
  port_not_allowed: "the URL's port is not allowed",
  address_not_allowed: 'the host has an address that may not be sent to',
};

/**
 * The guarded sender. A request goes out on an idle connection to its origin, or on one that is opened for it; the
 * addresses are judged when a connection is opened, and a connection never becomes another one.
 *
 * A connection is only ever used for one merchant, and with one client certificate. Otherwise a receiver that many
 * merchants share could answer one of them with what another made it say, and how fast an attempt is would tell who
 * else sends there.
 *
 * `send` throws where the fault is on this side: a request that breaks the port's rules, a closed sender, no file
 * descriptors left, an egress proxy that is away.
 */
export class UndiciSender implements Sender {
  readonly #egress: EgressPolicy;
  readonly #opener: SocketOpener;
  readonly #idle = new IdleConnections<Connection>();
  readonly #open = new Set<Connection>();
  readonly #pace = new ConnectPace();
  /** What the text of a URL shows does not change; what its host stands for is looked at with each connect. */
  readonly #judged = new LRUCache<string, Judged>({ max: JUDGED_URLS_MAX });
  #inFlight = 0;
  #closing: PromiseWithResolvers<void> | null = null;

  constructor(options: UndiciSenderOptions) {
    this.#egress = options.egress;
    this.#opener = {
      egress: options.egress,
      tcpConnect: options.tcpConnect ?? defaultTcpConnect,
      secureContext: createTrust(options.extraCaCertificates ?? []),
      proxy: options.proxy ?? null,
    };
  }

  async send(request: OutgoingRequest): Promise<SendResult> {
    const startedMs = performance.now();
    if (this.#closing !== null) throw new Error('the sender is closed');
    const posting = toPosting(request);
    const deadline = new Deadline(request.deadlineMs);
    this.#inFlight += 1;
    try {
      const { clientCertificate } = request;
      const route = toRoute(this.#judge(request.url), clientCertificate, request.merchantId);
      const response = await this.#post(route, posting, deadline);
      const durationMs = performance.now() - startedMs;
      return { kind: 'response', ...response, durationMs, remoteAddress: posting.remoteAddress };
    } catch (error) {
      if (!(error instanceof SendError)) throw error;
      const { kind, errorCode, message } = error;
      // How long it took to find an address that is closed would tell what is behind it.
      const durationMs = kind === 'blocked' ? 0 : performance.now() - startedMs;
      return { kind, errorCode, message, durationMs, remoteAddress: posting.remoteAddress };
    } finally {
      deadline.clear();
      this.#inFlight -= 1;
      this.#resolveWhenDrained();
    }
  }

  async close(graceMs?: number): Promise<void> {
    const closing = (this.#closing ??= Promise.withResolvers());
    this.#idle.destroyAll();
    this.#resolveWhenDrained();
    const cut = graceMs === undefined ? undefined : setTimeout(() => closing.resolve(), graceMs);
    await closing.promise;
    clearTimeout(cut);
    for (const connection of this.#open) connection.destroy();
    await Promise.all(Array.from(this.#open, (connection) => connection.closed));
  }

  #resolveWhenDrained(): void {
    if (this.#inFlight === 0) this.#closing?.resolve();
  }

  #judge(text: string): Judged {
    const known = this.#judged.get(text);
    if (known !== undefined) return known;
    const judgement = this.#egress.judgeUrl(text);
    if (!judgement.ok) throw new SendError('blocked', judgement.reason, REFUSAL_MESSAGES[judgement.reason]);
    const { url } = judgement;
    const judged = { url, origin: url.origin, path: `${url.pathname}${url.search}` };
    this.#judged.set(text, judged);
    return judged;
  }

  /**
   * A receiver may close an idle connection in the instant in which the next request sets out on it, and cannot
   * tell us that it read nothing (undici#3492). That is no failure of the receiver, so such a request is made once
   * more at once, on a connection of its own, within what is left of the same deadline.
   */
  async #post(route: Route, posting: Posting, deadline: Deadline): Promise<ReceivedResponse> {
    const idle = this.#idle.take(route.connectionKey);
    if (idle !== null) {
      try {
        return await this.#postOn(idle, route, posting, deadline);
      } catch (error) {
        if (!(error instanceof StaleConnectionError)) throw error;
      }
    }
    return this.#postOn(await this.#connect(route, posting, deadline), route, posting, deadline);
  }

  async #postOn(
    connection: Connection,
    { path }: Route,
    posting: Posting,
    deadline: Deadline,
  ): Promise<ReceivedResponse> {
    posting.remoteAddress = connection.remoteAddress;
    const response = await connection.post(path, posting, deadline);
    if (this.#closing === null) this.#idle.put(connection);
    else connection.destroy();
    return response;
  }

  async #connect(route: Route, posting: Posting, deadline: Deadline): Promise<Connection> {
    posting.remoteAddress = null;
    await this.#pace.turn();
    const opened = await openSocket(this.#opener, route, deadline, (remoteAddress) => {
      posting.remoteAddress = remoteAddress;
    });
    const connection = new Connection(route.connectionKey, route.origin, opened);
    this.#open.add(connection);
    void connection.closed.then(() => {
      this.#open.delete(connection);
      this.#idle.forget(connection);
    });
    return connection;
  }
}

/** A URL that may be sent to, as far as its text shows. */
interface Judged {
  readonly url: URL;
  readonly origin: string;
  readonly path: string;
}

/** Where a request goes, and which connections it may go on. */
interface Route extends Destination, Judged {
  readonly connectionKey: string;
}

/** @throws {TypeError} for a client certificate where none could be shown. */
function toRoute(judged: Judged, clientCertificate: ClientCertificate | null, merchantId: string): Route {
  const { url, origin, path } = judged;
  let connectionKey = `${merchantId} ${origin}`;
  if (clientCertificate !== null) {
    if (url.protocol !== 'https:') throw new TypeError('a client certificate needs an https URL');
    connectionKey += ` ${fingerprintOf(clientCertificate)}`;
  }
  return { url, origin, path, clientCertificate, connectionKey };
}

function fingerprintOf(clientCertificate: ClientCertificate): string {
  const known = FINGERPRINTS.get(clientCertificate);
  if (known !== undefined) return known;
  const { certificate, privateKey } = clientCertificate;
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([certificate, privateKey]))
    .digest('base64');
  FINGERPRINTS.set(clientCertificate, fingerprint);
  return fingerprint;
}

const FINGERPRINTS = new WeakMap<ClientCertificate, string>();

/** What goes out, and what is learnt on the way. */
interface Posting extends ConnectionRequest {
  remoteAddress: string | null;
}

function toPosting(request: OutgoingRequest): Posting {
  let isSent = false;
  return {
    headers: toWireHeaders(request.headers),
    body: request.body,
    onSent: () => {
      if (isSent) return;
      isSent = true;
      request.onSent?.();
    },
    remoteAddress: null,
  };
}

/** @throws {TypeError} for a name that is not the caller's to set, and for what would not be one header on the wire. */
function toWireHeaders(headers: OutgoingRequest['headers']): string[] {
  const flat: string[] = [];
  for (const [name, value] of headers) {
    if (!isSettable(name)) {
      throw new TypeError(`not a header to be set: ${JSON.stringify(name)}`);
    }
    if (!HEADER_VALUE.test(value)) throw new TypeError(`not the value of a header: ${name}`);
    flat.push(name, value);
  }
  return flat;
}

function isSettable(name: string): boolean {
  if (SETTABLE_NAMES.has(name)) return true;
  if (!HEADER_NAME.test(name) || RESERVED_HEADER_NAMES.has(name.toLowerCase())) return false;
  if (SETTABLE_NAMES.size < KNOWN_HEADER_NAMES_MAX) SETTABLE_NAMES.add(name);
  return true;
}

const SETTABLE_NAMES = new Set<string>();

/**
 * What is shown to one receiver is in a context of its own, which is made anew for each connection: it shares the
 * default trust with all others, and so costs little.
 */
function createTrust(extraCaCertificates: readonly string[]): SocketOpener['secureContext'] {
  const trust =
    extraCaCertificates.length === 0 ? {} : { ca: [...getCACertificates('default'), ...extraCaCertificates] };
  const anonymous = createSecureContext(trust);
  return (clientCertificate: ClientCertificate | null) => {
    if (clientCertificate === null) return anonymous;
    const { certificate, privateKey } = clientCertificate;
    return createSecureContext({ ...trust, cert: certificate, key: privateKey });
  };
}
