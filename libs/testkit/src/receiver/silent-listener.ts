import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

export interface SilentListener {
  readonly port: number;
  /** Resolves when the first peer has closed its connection. */
  readonly peerClosed: Promise<void>;
  close(): Promise<void>;
}

export interface UnacceptingListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Accepts TCP connections on 127.0.0.1, reads, and never says a byte: a TLS handshake with it hangs. */
export async function startSilentListener(): Promise<SilentListener> {
  const sockets = new Set<Socket>();
  const { promise: peerClosed, resolve } = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      sockets.delete(socket);
      resolve();
    });
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    peerClosed,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Listens with the smallest backlog, and blocks its thread before it could accept anything. */
const BLOCKED_LISTENER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(workerData), 0, 0);
    server.close();
  });
`;

/** The backlog holds one more than it is told to, and kernels differ by a few. */
const BACKLOG_FILLERS = 8;

/**
 * Listens on 127.0.0.1 and never accepts; its backlog is full, so that on Linux a further connection hangs
 * unconfirmed.
 */
export async function startUnacceptingListener(): Promise<UnacceptingListener> {
  const blocked = new SharedArrayBuffer(4);
  const worker = new Worker(BLOCKED_LISTENER, { eval: true, workerData: blocked });
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = Array.from({ length: BACKLOG_FILLERS }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    return socket;
  });
  await once(fillers[0] ?? worker, 'connect');
  return {
    port,
    async close() {
      for (const socket of fillers) socket.destroy();
      Atomics.store(new Int32Array(blocked), 0, 1);
      Atomics.notify(new Int32Array(blocked), 0);
      await once(worker, 'exit');
    },
  };
}
