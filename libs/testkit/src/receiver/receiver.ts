import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { respond, type Behaviour } from './behaviour.js';
import type { ReceivedRequest } from './received-request.js';
import { TEST_CERTIFICATE } from './test-certificate.js';

export interface ReceiverOptions {
  /** What it does on paths without a behaviour of their own. 200 and no body if left out. */
  readonly behaviour?: Behaviour;
  /** HTTPS with the certificate of `test-certificate.ts`. */
  readonly tls?: boolean;
  /** PEM of the authority that clients need a certificate of; anybody is let in if left out. Only with `tls`. */
  readonly clientAuthority?: string;
  /** Whether `requests` is kept; true if left out. A run of very many would only measure it. */
  readonly keepsRequests?: boolean;
  /** How long it keeps an idle connection; 5,000 if left out. It is also announced in `Keep-Alive`. */
  readonly keepAliveTimeoutMs?: number;
}

/**
 * Starts a real HTTP receiver on a free port of 127.0.0.1, which records every request and does with it what it is
 * told. To be closed by whoever started it.
 */
export async function startReceiver(options: ReceiverOptions = {}): Promise<Receiver> {
  const receiver = new Receiver(options);
  await receiver.listen();
  return receiver;
}

/** Sockets that were cut close within a turn of the event loop; this only bounds a mistake. */
const CLOSE_TIMEOUT_MS = 5_000;

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
}

export class Receiver {
  /** In the order in which they were complete. */
  readonly requests: ReceivedRequest[] = [];
  readonly #server: Server;
  readonly #scheme: string;
  readonly #sockets = new Set<Socket>();
  /** By the peer's port, because under TLS requests come on another socket object than connections do. */
  readonly #connectionByPort = new Map<number | undefined, number>();
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #waiters = new Set<Waiter>();
  #behaviour: Behaviour;
  #connectionCount = 0;
  readonly #keepsRequests: boolean;

  constructor(options: ReceiverOptions) {
    const onRequest = (incoming: IncomingMessage, response: ServerResponse): void => {
      this.#receive(incoming, response);
    };
    this.#behaviour = options.behaviour ?? respond();
    this.#keepsRequests = options.keepsRequests ?? true;
    this.#scheme = options.tls === true ? 'https' : 'http';
    const { clientAuthority } = options;
    const server =
      options.tls === true
        ? createTlsServer(
            {
              ...TEST_CERTIFICATE,
              ...(clientAuthority !== undefined && { ca: clientAuthority, requestCert: true }),
            },
            onRequest,
          )
        : createServer(onRequest);
    server.keepAliveTimeout = options.keepAliveTimeoutMs ?? 5_000;
    server.on('connection', (socket: Socket) => {
      this.#track(socket);
    });
    this.#server = server;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The URL of a path; `host` may be any name that stands for 127.0.0.1 where it is used. */
  url(path = '/', host = '127.0.0.1'): string {
    return `${this.#scheme}://${host}:${String(this.port)}${path}`;
  }

  /** What to do on one path (without query), or on all that have no behaviour of their own. */
  on(path: string, behaviour: Behaviour): void {
    if (path === '*') this.#behaviour = behaviour;
    else this.#behaviours.set(path, behaviour);
  }

  /** Connections made to it so far. */
  get connectionCount(): number {
    return this.#connectionCount;
  }

  get openSocketCount(): number {
    return this.#sockets.size;
  }

  /**
   * Resolves with the requests so far, once there are `wanted` of them or `wanted` says yes to them.
   *
   * @throws {Error} saying what had come, after `timeoutMs`.
   */
  async waitFor(
    wanted: number | ((requests: readonly ReceivedRequest[]) => boolean),
    timeoutMs: number,
  ): Promise<readonly ReceivedRequest[]> {
    const isMet =
      typeof wanted === 'number' ? () => this.requests.length >= wanted : () => wanted(this.requests);
    await this.#until(isMet, timeoutMs, () => {
      const paths = this.requests.map(({ method, path }) => `${method} ${path}`).join(', ');
      return `waited for ${typeof wanted === 'number' ? String(wanted) : 'certain'} requests, got ${String(this.requests.length)}: ${paths}`;
    });
    return this.requests;
  }

  /** Resolves once every connection is closed. @throws {Error} after `timeoutMs`. */
  waitForNoSockets(timeoutMs: number): Promise<void> {
    return this.#until(
      () => this.openSocketCount === 0,
      timeoutMs,
      () => `waited for all sockets to close, ${String(this.openSocketCount)} are open`,
    );
  }

  /** Cuts every connection as a crash would; it goes on listening. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Cuts every connection and stops listening; leaves nothing open. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.dropConnections();
    await closed;
    await this.waitForNoSockets(CLOSE_TIMEOUT_MS);
  }

  #track(socket: Socket): void {
    this.#connectionCount += 1;
    this.#sockets.add(socket);
    this.#connectionByPort.set(socket.remotePort, this.#connectionCount);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#notify();
    });
  }

  #receive(incoming: IncomingMessage, response: ServerResponse): void {
    const arrivedMs = performance.now();
    const arrivedAtUnixMs = Date.now();
    const chunks: Buffer[] = [];
    response.on('error', () => undefined);
    incoming.on('error', () => undefined);
    incoming.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
    });
    incoming.on('end', () => {
      const path = incoming.url ?? '';
      const request: ReceivedRequest = {
        method: incoming.method ?? '',
        path,
        headers: incoming.headers,
        rawHeaders: incoming.rawHeaders,
        body: Buffer.concat(chunks),
        arrivedMs,
        arrivedAtUnixMs,
        connection: this.#connectionByPort.get(incoming.socket.remotePort) ?? 0,
        clientName: clientNameOf(incoming.socket),
      };
      if (this.#keepsRequests) this.requests.push(request);
      this.#notify();
      const behaviour = this.#behaviours.get(path.replace(/\?.*$/s, '')) ?? this.#behaviour;
      behaviour({ request, response, socket: incoming.socket });
    });
  }

  async #until(isMet: () => boolean, timeoutMs: number, describe: () => string): Promise<void> {
    if (isMet()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`${describe()} (after ${String(timeoutMs)} ms)`));
      }, timeoutMs);
      const waiter: Waiter = {
        isMet,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      this.#waiters.add(waiter);
    });
  }

  #notify(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isMet()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}

function clientNameOf(socket: Socket): string | null {
  if (!(socket instanceof TLSSocket)) return null;
  // An empty object where the client showed none.
  const { subject } = socket.getPeerCertificate() as Partial<ReturnType<TLSSocket['getPeerCertificate']>>;
  return typeof subject?.CN === 'string' ? subject.CN : null;
}
