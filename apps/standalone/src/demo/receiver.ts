import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type SignatureEntry, verifySignature } from './verify-signature.js';

/** How the receiver treats one path. */
export interface ReceiverRoute {
  readonly secret: string;
  readonly signatures: readonly SignatureEntry[];
  /** How many requests it answers with 500 before it accepts. */
  readonly refusals: number;
}

/** One request as it came. */
export interface Receipt {
  readonly path: string;
  /** Empty when the request has no such header. */
  readonly deliveryId: string;
  readonly signature: 'verified' | 'unsigned' | 'wrong';
  readonly body: string;
}

/** Every Posthorn brands its headers by itself; this one it always sends. */
const DELIVERY_ID_HEADER = /^(.+)-delivery-id$/;

/** A merchant's server: checks what it is sent, writes it down and answers. */
export class DemoReceiver {
  readonly receipts: Receipt[] = [];
  readonly #routes = new Map<string, ReceiverRoute & { refused: number }>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#receive(request, response).catch(() => response.destroy());
    });
  }

  /** Listens on a free port of 127.0.0.1. */
  static async start(): Promise<DemoReceiver> {
    const receiver = new DemoReceiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  route(path: string, route: ReceiverRoute): void {
    this.#routes.set(path, { ...route, refused: 0 });
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    const body = await buffer(request);
    const route = this.#routes.get(path);
    if (route === undefined) return void response.writeHead(404).end();
    const [name = '', headerPrefix = ''] =
      Object.keys(request.headers)
        .map((header) => DELIVERY_ID_HEADER.exec(header))
        .find((match) => match !== null) ?? [];
    const signed = { headers: request.headers, body, headerPrefix };
    const isVerified = route.signatures.every((entry) =>
      verifySignature(entry, route.secret, signed, Date.now()),
    );
    const signature = route.signatures.length === 0 ? 'unsigned' : isVerified ? 'verified' : 'wrong';
    const deliveryId = String(request.headers[name] ?? '');
    this.receipts.push({ path, deliveryId, signature, body: body.toString('utf8') });
    const refuses = route.refused < route.refusals;
    if (refuses) route.refused += 1;
    // What a receiver should do with a signature that does not fit: refuse, and say no more.
    response.writeHead(refuses ? 500 : signature === 'wrong' ? 401 : 200).end();
  }
}
