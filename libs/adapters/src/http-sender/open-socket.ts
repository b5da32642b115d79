import type { LookupAddress } from 'node:dns';
import {
  connect as connectTcp,
  isIP,
  type LookupFunction,
  type Socket,
  type TcpNetConnectOpts,
} from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import type { ClientCertificate } from '#pipeline/sender.js';
import type { Deadline } from './deadline.js';
import { hostnameOf, portOf, type EgressPolicy } from './egress-policy.js';
import { EgressProxyError, openTunnel, type EgressProxy } from './egress-proxy.js';
import { connectFailure, handshakeFailure, lookupFailure, SendError } from './send-error.js';

/** How a TCP connection is begun: `net.connect`, or in tests one that records. */
export type TcpConnect = (options: TcpNetConnectOpts) => Socket;

export interface SocketOpener {
  readonly egress: EgressPolicy;
  readonly tcpConnect: TcpConnect;
  /** What is trusted, and what is shown where the receiver asks. */
  readonly secureContext: (clientCertificate: ClientCertificate | null) => SecureContext;
  /** Null: connections go out directly. */
  readonly proxy: EgressProxy | null;
}

export interface Destination {
  readonly url: URL;
  readonly clientCertificate: ClientCertificate | null;
}

/** So many of a host's addresses are tried through a proxy, which is asked for one at a time. */
const PROXY_TRIES_MAX = 4;

export const defaultTcpConnect: TcpConnect = connectTcp;

/** A connected socket, through the handshake where the URL is `https`, and the address of the host at its far end. */
export interface OpenedSocket {
  readonly socket: Socket;
  readonly remoteAddress: string;
}

/**
 * Looks the host up, judges every address, connects to one of exactly those, checks the peer's address once more,
 * and only then says the first byte (TLS). The name is looked up once: what it stands for a moment later does not
 * matter.
 *
 * @throws {SendError} for what the policy, the resolver, the network or the peer did. Nothing is left open then.
 * @throws {EgressProxyError} for what the operator's proxy did.
 */
export async function openSocket(
  opener: SocketOpener,
  { url, clientCertificate }: Destination,
  deadline: Deadline,
  onConnected: (remoteAddress: string) => void,
): Promise<OpenedSocket> {
  const addresses = await resolve(opener.egress, hostnameOf(url), deadline);
  const { socket, remoteAddress } =
    opener.proxy === null
      ? await connectDirectly(opener, url, addresses, deadline)
      : await connectThrough(opener, opener.proxy, portOf(url), addresses, deadline);
  try {
    onConnected(remoteAddress);
    if (url.protocol === 'http:') return { socket, remoteAddress };
    const secureContext = opener.secureContext(clientCertificate);
    return { socket: await secure(secureContext, hostnameOf(url), socket, deadline), remoteAddress };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function connectDirectly(
  { tcpConnect, egress }: SocketOpener,
  url: URL,
  addresses: readonly LookupAddress[],
  deadline: Deadline,
): Promise<OpenedSocket> {
  const socket = await connect(
    tcpConnect,
    { host: hostnameOf(url), port: portOf(url), lookup: answerWith(addresses) },
    deadline,
  );
  const { remoteAddress } = socket;
  if (remoteAddress !== undefined && egress.isAddressAllowed(remoteAddress)) return { socket, remoteAddress };
  socket.destroy();
  if (remoteAddress !== undefined) throw addressNotAllowed();
  throw new SendError('connection_error', 'econnreset', 'the peer closed the connection at once');
}

/**
 * The proxy gets a judged address and never the name. Its own is not judged: it is the operator's, and usually a private
 * one. The next address is only asked for where the proxy could not connect to the one before.
 */
async function connectThrough(
  { tcpConnect }: SocketOpener,
  proxy: EgressProxy,
  port: number,
  addresses: readonly LookupAddress[],
  deadline: Deadline,
): Promise<OpenedSocket> {
  let failure: unknown;
  for (const address of addresses.slice(0, PROXY_TRIES_MAX)) {
    const socket = await connect(tcpConnect, { host: proxy.host, port: proxy.port }, deadline).catch(
      (cause: unknown) => {
        throw new EgressProxyError('the egress proxy cannot be connected to', { cause });
      },
    );
    try {
      await openTunnel(socket, proxy, address, port, deadline);
      return { socket, remoteAddress: address.address };
    } catch (error) {
      socket.destroy();
      if (!(error instanceof SendError) || error.kind !== 'connection_error') throw error;
      failure = error;
    }
  }
  throw failure;
}

async function resolve(
  egress: EgressPolicy,
  hostname: string,
  deadline: Deadline,
): Promise<readonly LookupAddress[]> {
  // A look-up cannot be called off; when the deadline comes first its result is dropped.
  const host = await deadline.run<Awaited<ReturnType<EgressPolicy['resolveHost']>>>(
    'the look-up',
    (settle, reject) => {
      egress.resolveHost(hostname).then(settle, (error: unknown) => {
        reject(lookupFailure(error));
      });
      return () => undefined;
    },
  );
  if (!host.ok) throw addressNotAllowed();
  if (host.addresses.length === 0) throw new SendError('dns_error', 'enodata', 'the name has no address');
  return host.addresses;
}

function connect(
  tcpConnect: TcpConnect,
  target: Pick<TcpNetConnectOpts, 'host' | 'port' | 'lookup'>,
  deadline: Deadline,
): Promise<Socket> {
  return deadline.run('the connection', (settle, reject) => {
    const socket = tcpConnect({
      ...target,
      // Node tries the addresses one after another, as browsers do, so a host without IPv6 still reaches a
      // receiver with both. For a receiver it never sees any but the judged ones.
      autoSelectFamily: true,
      noDelay: true,
    });
    socket.once('connect', () => {
      settle(socket);
    });
    // Stays on for the socket's life: an error after its reader let go of it must not end the process.
    socket.on('error', (error) => {
      reject(connectFailure(error));
    });
    return () => socket.destroy();
  });
}

/** A look-up function for `net.connect` whose answer is already known. */
function answerWith(addresses: readonly LookupAddress[]): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family);
  };
}

/**
 * No session is ever resumed: Node does not check the certificate's name on a resumed one, and can be handed a
 * session by a handshake whose check then fails.
 */
function secure(
  secureContext: SecureContext,
  host: string,
  tcpSocket: Socket,
  deadline: Deadline,
): Promise<TLSSocket> {
  // A name's final dot is not part of what certificates and SNI (RFC 6066) call it.
  const hostname = host.replace(/\.$/, '');
  return deadline.run('the TLS handshake', (settle, reject) => {
    const socket = connectTls({
      socket: tcpSocket,
      host: hostname,
      ...(isIP(hostname) === 0 && { servername: hostname }),
      secureContext,
      ALPNProtocols: ['http/1.1'],
      // Said although it is the default, because an environment variable could change the default.
      rejectUnauthorized: true,
    });
    socket.once('secureConnect', () => {
      settle(socket);
    });
    socket.on('error', (error) => {
      reject(handshakeFailure(error));
    });
    return () => socket.destroy();
  });
}

/** Says nothing about which address it was or what stands behind it: merchants read it. */
function addressNotAllowed(): SendError {
  return new SendError('blocked', 'address_not_allowed', 'the host has an address that may not be sent to');
}
