import type { Socket } from 'node:net';
import { Client } from 'undici';
import type { Deadline } from './deadline.js';
import { Exchange, type ReceivedResponse } from './exchange.js';
import type { OpenedSocket } from './open-socket.js';
import { exchangeFailure, SendError } from './send-error.js';

/** All names and values of a response's head; several times what real receivers send. */
const RESPONSE_HEADER_BYTES_MAX = 16_384;

/**
 * All bytes of one answer as they come, before anything is taken out of them: room for its head, for what is kept of its
 * body in chunks of one byte, and for one read of the socket beyond that. What is more is interim responses, a reason
 * phrase or chunk extensions without end, which no limit of the parser counts, and which as fast as the network would
 * keep the worker from everybody else.
 */
const ANSWER_BYTES_MAX = 262_144;

/**
 * What undici is given to parse at once. It parses what it was given to the end, also once the head has become too long,
 * and makes an error of each further header: 64 KiB, which one read of a socket holds, of headers of two bytes took 70 ms
 * of the thread and megabytes of memory.
 */
const PARSED_BYTES_MAX = 1_024;

/**
 * How long an unused connection is kept when the receiver does not say. Node's and many others' servers close
 * after 5 s; staying below that makes the race of their close against our next request rare.
 */
const KEEP_ALIVE_MS = 4_000;

/** The longest a receiver's own `Keep-Alive: timeout=` makes us hold a connection that may never be used again. */
const KEEP_ALIVE_MS_MAX = 10_000;

/** Taken off what the receiver says, because its clock started a network trip earlier. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

export interface ConnectionRequest {
  /** Flat: name, value, name, value, ... */
  readonly headers: string[];
  readonly body: Uint8Array;
  readonly onSent: () => void;
}

/** The connection broke before any byte of an answer, after it had already served another request. */
export class StaleConnectionError extends Error {}

/**
 * One undici client over one socket that is already open and checked; when the socket is gone, so is the
 * connection. undici never opens a socket itself: what it would reconnect to would be unchecked.
 */
export class Connection {
  readonly key: string;
  readonly remoteAddress: string;
  /** Resolves when nothing of it is left open. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #client: Client;
  #served = 0;
  #bytesReadBefore = 0;
  #tooLong: ((error: SendError) => void) | null = null;

  /** @param key tells the requests that may go on it from those that may not */
  constructor(key: string, origin: string, { socket, remoteAddress }: OpenedSocket) {
    this.key = key;
    this.remoteAddress = remoteAddress;
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    if (socket.closed) resolve();
    else socket.once('close', resolve);
    readInPortions(socket, PARSED_BYTES_MAX);
    socket.on('readable', () => {
      if (socket.bytesRead - this.#bytesReadBefore <= ANSWER_BYTES_MAX) return;
      this.#tooLong?.(new SendError('invalid_response', 'response_too_long', 'the response goes on and on'));
      this.destroy();
    });
    let handedOver = false;
    this.#client = new Client(origin, {
      connect: (_options, callback) => {
        const taken = handedOver;
        handedOver = true;
        // Not before `connect` has returned: the client only goes on with its queue when called back later.
        queueMicrotask(() => {
          if (taken)
            callback(new SendError('connection_error', 'econnreset', 'the peer closed the connection'), null);
          else callback(null, socket);
        });
      },
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: RESPONSE_HEADER_BYTES_MAX,
      // The one deadline covers both, drips and 1xx floods included, which these would not.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS_MAX,
      keepAliveTimeoutThreshold: KEEP_ALIVE_MARGIN_MS,
    });
  }

  /** Whether another request may be tried on it. The receiver can still close it before that arrives. */
  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  /**
   * Posts one request; not to be called while another is under way.
   *
   * @throws {StaleConnectionError} see there.
   * @throws {SendError} for what the network or the peer did. The connection is destroyed then.
   */
  post(path: string, request: ConnectionRequest, deadline: Deadline): Promise<ReceivedResponse> {
    const isReused = this.#served > 0;
    this.#served += 1;
    this.#bytesReadBefore = this.#socket.bytesRead;
    return deadline.run('the connection to take the request', (settle, reject) => {
      this.#tooLong = reject;
      const exchange = new Exchange(deadline, {
        onSent: request.onSent,
        onResponse: (response, connectionSpent) => {
          if (connectionSpent) this.destroy();
          settle(response);
        },
        onFailure: (error) => {
          const closedByPeer = this.#socket.readableEnded;
          this.destroy();
          reject(this.#explain(error, closedByPeer, isReused && !exchange.answered));
        },
      });
      const { headers, body } = request;
      this.#client.dispatch({ method: 'POST', path, headers, body }, exchange);
      return () => {
        this.destroy();
      };
    });
  }

  /** Ends the connection and whatever is under way on it, at once. */
  destroy(): void {
    this.#socket.destroy();
    this.#client.destroy(() => undefined);
  }

  #explain(error: unknown, closedByPeer: boolean, mayBeStale: boolean): unknown {
    const failure = exchangeFailure(error, closedByPeer);
    const isBroken = failure instanceof SendError && failure.kind === 'connection_error';
    return mayBeStale && isBroken ? new StaleConnectionError(failure.message, { cause: failure }) : failure;
  }
}

/**
 * Makes `read()` without a size give at most `bytesMax`, and nothing that was read ahead once the socket is destroyed.
 * Readers that want all call it until it gives null.
 */
function readInPortions(socket: Socket, bytesMax: number): void {
  const read = socket.read.bind(socket) as (size?: number) => unknown;
  socket.read = (size) => {
    if (socket.destroyed) return null;
    return read(size ?? (socket.readableLength > bytesMax ? bytesMax : undefined));
  };
}
