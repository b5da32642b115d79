import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Longer than any pause between two measures, so that none of them pays for the connections of the one before. */
const KEEP_ALIVE_MS = 60_000;

export interface PlainReceiver {
  readonly url: string;
  readonly received: () => number;
  close(): void;
}

/** Counts, and answers 200 at once or after a while. */
export async function startPlainReceiver(delayMs: number): Promise<PlainReceiver> {
  let received = 0;
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
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    received: () => received,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
