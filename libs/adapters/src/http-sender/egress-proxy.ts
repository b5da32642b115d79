import type { LookupAddress } from 'node:dns';
import type { Socket } from 'node:net';
import { Client } from 'undici';
import type { Deadline } from './deadline.js';
import { SendError } from './send-error.js';

/** A proxy's answer to CONNECT has nothing in it that is used; this only bounds a mistake. */
const PROXY_HEADER_BYTES_MAX = 16_384;

const HTTP_PORT = 80;

/** The operator's own way out: an HTTP proxy that is asked, by CONNECT, for everything that is sent. */
export interface EgressProxy {
  readonly host: string;
  readonly port: number;
  /** The `proxy-authorization` that its URL's user and password make (RFC 7617). */
  readonly authorization: string | null;
}

/**
 * The proxy cannot be reached, does not know us, or is none. That is the operator's trouble and no receiver's: it is
 * thrown by `send`, and so charges nobody.
 */
export class EgressProxyError extends Error {
  override readonly name = 'EgressProxyError';
}

/** @throws {RangeError} for what is not an `http:` URL of a host alone. It does not repeat the URL, which may hold a password. */
export function parseEgressProxy(text: string): EgressProxy {
  const url = URL.parse(text);
  if (url?.protocol !== 'http:' || url.hostname === '' || url.pathname + url.search + url.hash !== '/') {
    throw new RangeError('not the URL of an HTTP proxy, such as http://user:password@proxy.internal:3128');
  }
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? HTTP_PORT : Number(url.port),
    authorization: credentials === ':' ? null : `Basic ${Buffer.from(credentials).toString('base64')}`,
  };
}

/**
 * Asks the proxy, over a connection to it, for a tunnel to exactly this address (RFC 9110, 9.3.6). It is given no name
 * that it could look up to another one. Resolves when what is written to the socket goes to the target.
 *
 * A 5xx is about the target: proxies in use say 500, 502, 503 or 504 where they cannot connect to it. Any other refusal
 * is about us.
 *
 * @throws {SendError} `connection_error` for a 5xx, `timeout` where the deadline comes before the answer.
 * @throws {EgressProxyError}
 */
export async function openTunnel(
  socket: Socket,
  proxy: EgressProxy,
  { address, family }: LookupAddress,
  port: number,
  deadline: Deadline,
): Promise<void> {
  const authority = family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
  const client = clientOver(socket);
  try {
    const statusCode = await deadline.run<number>('the egress proxy', (settle, reject) => {
      const headers = {
        host: authority,
        ...(proxy.authorization !== null && { 'proxy-authorization': proxy.authorization }),
      };
      client.connect({ path: authority, headers }).then((answer) => {
        settle(answer.statusCode);
      }, reject);
      return () => socket.destroy();
    });
    if (statusCode >= 500) {
      throw new SendError(
        'connection_error',
        'proxy_connect_failed',
        'the egress proxy could not connect to the host',
      );
    }
    if (statusCode >= 300) throw new EgressProxyError(`the egress proxy answered ${statusCode} to CONNECT`);
  } catch (error) {
    if (error instanceof SendError || error instanceof EgressProxyError) throw error;
    throw new EgressProxyError('the egress proxy gave no answer to CONNECT', { cause: error });
  } finally {
    // It has let go of the socket, or the socket is gone.
    client.destroy(() => undefined);
  }
}

function clientOver(socket: Socket): Client {
  let handedOver = false;
  return new Client('http://proxy.invalid', {
    connect: (_options, callback) => {
      const taken = handedOver;
      handedOver = true;
      queueMicrotask(() => {
        if (taken) callback(new EgressProxyError('the egress proxy closed the connection'), null);
        else callback(null, socket);
      });
    },
    allowH2: false,
    maxHeaderSize: PROXY_HEADER_BYTES_MAX,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}
