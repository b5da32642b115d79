import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerCalls } from '../child-program.js';

let received = 0;

/** A receiver that counts, and answers 200 at once or after a while. */
const calls = {
  async listen({ delayMs }: { readonly delayMs: number }): Promise<string> {
    const server = createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        received += 1;
        if (delayMs === 0) response.end();
        else setTimeout(() => response.end(), delayMs);
      });
    });
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  },
  received: (_: null) => received,
};
export type ReceiverCalls = typeof calls;
answerCalls(calls);

/** Longer than any pause between two measures, so that none of them pays for the connections of the one before. */
const KEEP_ALIVE_MS = 60_000;
