import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** What a proxy was asked for. */
export interface ConnectRequest {
  /** Host and port, as on the request line. */
  readonly authority: string;
  readonly authorization: string | undefined;
}

/** What a proxy does when asked: connect to a port of 127.0.0.1, or write exactly these bytes; null: nothing. */
export type ConnectAnswer = { readonly port: number } | { readonly bytes: string } | null;

export interface ConnectProxy {
  readonly port: number;
  /** In the order in which they came. */
  readonly requests: readonly ConnectRequest[];
  close(): Promise<void>;
}

/** Starts an HTTP proxy on a free port of 127.0.0.1 that knows only CONNECT. To be closed by whoever started it. */
export async function startConnectProxy(
  answer: (request: ConnectRequest) => ConnectAnswer,
): Promise<ConnectProxy> {
  const requests: ConnectRequest[] = [];
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  };
  const server = createServer();
  server.on('connection', track);
  server.on('connect', (incoming: IncomingMessage, client: Socket) => {
    const request = {
      authority: incoming.url ?? '',
      authorization: incoming.headers['proxy-authorization'],
    };
    requests.push(request);
    const does = answer(request);
    if (does === null) return;
    if ('bytes' in does) {
      client.end(does.bytes);
      return;
    }
    const target = connect(does.port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(target).pipe(client);
    });
    track(target);
    target.once('close', () => client.destroy());
    client.once('close', () => target.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
