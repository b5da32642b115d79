import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that has not come by then was lost, or the run has broken down. */
export const ARRIVAL_TIMEOUT_MS = 10_000;

/** A receiver that answers 200 at once and knows when each event reached it, on the clock of `performance.now()`. */
export class Arrivals {
  readonly #arrivedMs = new Map<string, number>();
  readonly #waiting = new Map<string, (arrivedMs: number) => void>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      // The head is here; the clock is read before anything is done with it.
      const nowMs = performance.now();
      request.resume();
      response.writeHead(200).end();
      const eventId = String(request.headers['x-posthorn-event-id']);
      // A repeated delivery arrived when it first did.
      if (this.#arrivedMs.has(eventId)) return;
      this.#arrivedMs.set(eventId, nowMs);
      this.#waiting.get(eventId)?.(nowMs);
    });
  }

  static async listen(): Promise<Arrivals> {
    const arrivals = new Arrivals();
    arrivals.#server.listen(0, '127.0.0.1');
    await once(arrivals.#server, 'listening');
    return arrivals;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** @throws Error when the event does not come */
  async of(eventId: string): Promise<number> {
    const arrivedMs = this.#arrivedMs.get(eventId);
    if (arrivedMs !== undefined) return arrivedMs;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const timer = setTimeout(
      () => reject(new Error(`${eventId} did not arrive within ${ARRIVAL_TIMEOUT_MS} ms`)),
      ARRIVAL_TIMEOUT_MS,
    );
    this.#waiting.set(eventId, resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(eventId);
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
