import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A receiver of more than is worth remembering one by one: it answers 200 at once, or never, and counts. */
export class CrowdReceiver {
  #requests = 0;
  readonly #server: Server;

  private constructor(behaviour: 'answers' | 'hangs') {
    this.#server = createServer((request, response) => {
      this.#requests += 1;
      request.resume();
      if (behaviour === 'answers') response.writeHead(200).end();
    });
  }

  static async listen(behaviour: 'answers' | 'hangs'): Promise<CrowdReceiver> {
    const receiver = new CrowdReceiver(behaviour);
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  /** Requests whose head has come. */
  get requests(): number {
    return this.#requests;
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${path}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
