import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';

/** As many calls as are under way at a time: more only wait in the API's own queue for the database. */
const CONNECTIONS = 24;
/** A server that neither answers nor closes within this time hangs. */
const SOCKET_TIMEOUT_MS = 10_000;

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS' | 'TRACE';

export interface WireCall {
  readonly method: Method;
  /** Sent as it stands: nothing is normalised. */
  readonly path: string;
  /** Sent as it is; a value that is neither text nor bytes, as JSON. */
  readonly body?: unknown;
  /** null: none. The wire's own if left out. */
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Calls an API over a few connections that stay open, as a busy client does, and judges nothing. */
export class Wire {
  readonly #pool: Pool;

  constructor(
    readonly url: string,
    readonly key: string,
  ) {
    this.#pool = new Pool(url, { connections: CONNECTIONS, pipelining: 1 });
  }

  async call({ method, path, body, key = this.key, headers = {} }: WireCall): Promise<WireAnswer> {
    const answer = await this.#pool.request({
      method,
      path,
      body: body === undefined ? null : isBytes(body) ? body : JSON.stringify(body),
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
  }

  /**
   * Writes bytes on a connection of their own and reads the one answer, for what no HTTP client would send.
   *
   * @param then what the client does after it has written: `wait` for the server to close, or `end` its own side
   * @throws Error when the server neither answers and closes in time, nor says anything
   */
  async exchange(bytes: string | Uint8Array, then: 'wait' | 'end' = 'wait'): Promise<WireAnswer> {
    const { hostname, port } = new URL(this.url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const chunks: Buffer[] = [];
    // The server may close before it has read everything: what it said before counts.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const closed = once(socket, 'close');
    const timer = new AbortController();
    if (then === 'end') socket.end(bytes);
    else socket.write(bytes);
    const isClosed = await Promise.race([
      closed.then(() => true),
      delay(SOCKET_TIMEOUT_MS, false, { signal: timer.signal }),
    ]);
    timer.abort();
    socket.destroy();
    const text = Buffer.concat(chunks).toString();
    if (!isClosed) throw new Error(`the connection was left open after: ${text}`);
    return parseAnswer(text);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

function isBytes(body: unknown): body is string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array;
}

function parseAnswer(text: string): WireAnswer {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) throw new Error(`the connection was closed after ${JSON.stringify(text)}`);
  const [statusLine = '', ...lines] = text.slice(0, headEnd).split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: Object.fromEntries(headers),
    text: text.slice(headEnd + 4),
  };
}

/** Does the work for every item, up to `width` at a time, in their order. */
export async function inParallel<Item>(
  items: Iterable<Item>,
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
