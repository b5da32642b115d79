import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A whole request as it goes over the wire, made once and sent many times. */
export function rawPost(url: URL, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const bytes = Buffer.from(body);
  const lines = Object.entries({ host: url.host, ...headers, 'content-length': String(bytes.byteLength) });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`POST ${url.pathname} HTTP/1.1\r\n${head}\r\n`), bytes]);
}

/**
 * One connection that posts again and again, with as little work as a client can have: it shares its cores with what it
 * measures. It understands answers that have a content-length, as Posthorn's have.
 */
export class RawConnection {
  #received = '';
  #answer: PromiseWithResolvers<number> | null = null;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', (error) => this.#answer?.reject(error));
    socket.on('close', () => this.#answer?.reject(new Error('the connection was closed')));
  }

  static async open({ hostname, port }: URL): Promise<RawConnection> {
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  /** The status of the answer, once it is whole. One at a time. */
  post(request: Uint8Array): Promise<number> {
    this.#answer = Promise.withResolvers<number>();
    this.socket.write(request);
    return this.#answer.promise;
  }

  close(): void {
    this.#answer = null;
    this.socket.destroy();
  }

  #read(text: string): void {
    this.#received += text;
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#received.slice(0, headEnd))?.[1];
    if (this.#received.length < headEnd + 4 + Number(length)) return;
    const status = Number(this.#received.slice(9, 12));
    this.#received = '';
    this.#answer?.resolve(status);
  }
}
