import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { ReceivedRequest } from './received-request.js';

/** One request as a behaviour sees it: whole, and not answered yet. */
export interface ReceiverExchange {
  readonly request: ReceivedRequest;
  readonly response: ServerResponse;
  /** For what no HTTP library would write. */
  readonly socket: Socket;
}

/** What a receiver does with a request. Whatever it leaves running must end when the socket closes. */
export type Behaviour = (exchange: ReceiverExchange) => void;

export interface Answer {
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array;
}

/** Answers at once. */
export function respond(statusCode = 200, { headers = {}, body = '' }: Answer = {}): Behaviour {
  return ({ response }) => {
    response.statusCode = statusCode;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.end(body);
  };
}

/** Does one thing after another, a request each; the last of them for ever. */
export function inTurn(...behaviours: readonly [Behaviour, ...Behaviour[]]): Behaviour {
  let turn = 0;
  return (exchange) => {
    const behaviour = behaviours[Math.min(turn, behaviours.length - 1)];
    turn += 1;
    behaviour?.(exchange);
  };
}

/** Answers the first `times` requests with `statusCode`, and every later one with `then`. */
export function failFirst(times: number, statusCode = 500, then: Behaviour = respond()): Behaviour {
  let seen = 0;
  return (exchange) => {
    seen += 1;
    (seen <= times ? respond(statusCode) : then)(exchange);
  };
}

/** Waits, then does `then`. */
export function after(delayMs: number, then: Behaviour = respond()): Behaviour {
  return (exchange) => {
    const timer = setTimeout(then, delayMs, exchange);
    exchange.socket.once('close', () => {
      clearTimeout(timer);
    });
  };
}

/** Takes the request and never answers. */
export function hang(): Behaviour {
  return () => undefined;
}

/** Closes the connection in order, without an answer. */
export function closeConnection(): Behaviour {
  return ({ socket }) => {
    socket.end();
  };
}

/** Resets the connection (RST), without an answer. */
export function resetConnection(): Behaviour {
  return ({ socket }) => {
    // Only plain TCP sockets can be reset; one under TLS is just cut.
    if (socket.constructor === Socket) socket.resetAndDestroy();
    else socket.destroy();
  };
}

/** Answers 200, then sends a byte of the body every `intervalMs`, for ever. */
export function dripBody(intervalMs: number): Behaviour {
  return (exchange) => {
    exchange.response.writeHead(200);
    repeat(exchange, intervalMs, () => exchange.response.write('.'));
  };
}

/** Begins a response head and goes on with a byte of a header every `intervalMs`, for ever. */
export function dripHead(intervalMs: number): Behaviour {
  return drip('HTTP/1.1 200 OK\r\nx-drip: ', '.', intervalMs);
}

/** Sends one interim response after another, and never a final one. */
export function floodInterim(intervalMs: number, statusCode = 103): Behaviour {
  return (exchange) => {
    repeat(exchange, intervalMs, () =>
      exchange.socket.write(`HTTP/1.1 ${String(statusCode)} Interim\r\n\r\n`),
    );
  };
}

/** Sends headers as fast as the peer reads them, for ever. */
export function endlessHeaders(): Behaviour {
  return ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    pour(socket, `x-endless: ${'h'.repeat(1_000)}\r\n`);
  };
}

/** Answers 200 and sends a body as fast as the peer reads it, for ever. */
export function endlessBody(headers: Answer['headers'] = {}): Behaviour {
  return ({ response }) => {
    response.writeHead(200, headers);
    pour(response, 'b'.repeat(16_384));
  };
}

/** Writes `head`, then `chunk` as fast as the peer reads it, for ever. */
export function endless(head: string, chunk: string): Behaviour {
  return ({ socket }) => {
    socket.write(head);
    pour(socket, chunk);
  };
}

/** Writes `head`, then `chunk` every `intervalMs`, for ever. */
function drip(head: string, chunk: string, intervalMs: number): Behaviour {
  return (exchange) => {
    exchange.socket.write(head);
    repeat(exchange, intervalMs, () => exchange.socket.write(chunk));
  };
}

/** Declares a body of `declaredBytes`, sends `body`, and closes. */
export function wrongContentLength(declaredBytes: number, body: string): Behaviour {
  return ({ socket }) => {
    socket.end(
      `HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${String(declaredBytes)}\r\n\r\n${body}`,
    );
  };
}

/** Writes exactly these bytes, HTTP or not, and leaves the connection open. */
export function raw(bytes: string | Uint8Array): Behaviour {
  return ({ socket }) => {
    socket.write(bytes);
  };
}

function repeat({ socket }: ReceiverExchange, intervalMs: number, write: () => void): void {
  const timer = setInterval(write, intervalMs);
  socket.once('close', () => {
    clearInterval(timer);
  });
}

function pour(target: Socket | ServerResponse, chunk: string): void {
  const write = (): void => {
    let hasRoom = true;
    while (hasRoom && !target.destroyed) hasRoom = target.write(chunk);
  };
  target.on('drain', write);
  write();
}
