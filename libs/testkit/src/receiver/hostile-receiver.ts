import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import * as behaviour from './behaviour.js';
import { startReceiver } from './receiver.js';

/** One way to hurt whoever sends to it. */
export interface Hostility {
  readonly name: string;
  readonly url: string;
  /** Of the request that it is best sent. */
  readonly bodyBytes: number;
  /** What a sender has to make of it: `response 200`, `timeout`, or the kind of failure. */
  readonly outcome: RegExp;
}

export interface HostileReceiver {
  readonly hostilities: readonly Hostility[];
  close(): Promise<void>;
}

/** Often enough to count as progress for any timeout between two bytes. */
const DRIP_MS = 20;
const BODY_BYTES = 512;
/** The largest that an event makes, so that a peer that does not read holds the request up. */
const LARGE_BODY_BYTES = 1_048_576;
const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const INVALID = /^invalid_response$/;
const BROKEN = /^connection_error$/;
const TIMEOUT = /^timeout$/;
const OK = /^response 200$/;

const HTTP: readonly (readonly [name: string, does: behaviour.Behaviour, outcome: RegExp])[] = [
  ['a head of 17 KiB', behaviour.raw(`HTTP/1.1 200 OK\r\nx: ${'h'.repeat(17_408)}\r\n\r\n`), INVALID],
  ['endless headers', behaviour.endlessHeaders(), INVALID],
  [
    'endless headers of two bytes',
    behaviour.endless('HTTP/1.1 200 OK\r\n', 'a:b\r\n'.repeat(1_000)),
    INVALID,
  ],
  ['an endless header', behaviour.endless('HTTP/1.1 200 OK\r\nx: ', 'h'.repeat(16_384)), INVALID],
  ['an endless reason', behaviour.endless('HTTP/1.1 200 ', 'r'.repeat(16_384)), INVALID],
  ['a head in drips', behaviour.dripHead(DRIP_MS), TIMEOUT],
  ['a flood of 1xx', behaviour.endless('', 'HTTP/1.1 103 Hint\r\n\r\n'.repeat(500)), INVALID],
  ['a slow flood of 1xx', behaviour.floodInterim(DRIP_MS), TIMEOUT],
  ['no HTTP', behaviour.raw('220 mail.example ESMTP\r\n'), INVALID],
  ['a status of four digits', behaviour.raw('HTTP/1.1 2000 OK\r\n\r\n'), INVALID],
  ['a status below zero', behaviour.raw('HTTP/1.1 -1 OK\r\n\r\n'), INVALID],
  ['binary', behaviour.raw(Uint8Array.from({ length: 4_096 }, (_, index) => (index * 7) % 256)), INVALID],
  [
    'another protocol',
    behaviour.raw('HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    INVALID,
  ],
  ['a reset', behaviour.resetConnection(), BROKEN],
  ['a half-close', behaviour.closeConnection(), BROKEN],
  ['silence', behaviour.hang(), TIMEOUT],
  ['a body too short', behaviour.wrongContentLength(1_000, 'short'), INVALID],
  ['a body that stops', behaviour.raw('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'), TIMEOUT],
  [
    'a body too long',
    behaviour.raw(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok${'x'.repeat(9_000)}`),
    OK,
  ],
  [
    'two lengths',
    behaviour.raw('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'),
    INVALID,
  ],
  [
    'a length and chunks',
    behaviour.raw(`${CHUNKED.slice(0, -2)}content-length: 5\r\n\r\n1\r\na\r\n0\r\n\r\n`),
    INVALID,
  ],
  ['a body in drips', behaviour.dripBody(DRIP_MS), TIMEOUT],
  ['an endless body', behaviour.endless('HTTP/1.1 200 OK\r\n\r\n', 'b'.repeat(16_384)), OK],
  ['endless chunks', behaviour.endless(CHUNKED, `4000\r\n${'c'.repeat(16_384)}\r\n`), OK],
  ['endless chunks of one byte', behaviour.endless(CHUNKED, '1\r\nc\r\n'.repeat(2_000)), OK],
  ['an endless chunk extension', behaviour.endless(`${CHUNKED}1;`, 'e'.repeat(16_384)), INVALID],
  ['a chunk of garbage', behaviour.raw(`${CHUNKED}xyz\r\n`), INVALID],
  ['a chunk of 2⁶⁴ bytes', behaviour.raw(`${CHUNKED}ffffffffffffffffff\r\na`), INVALID],
  [
    'endless trailers',
    behaviour.endless(`${CHUNKED}1\r\na\r\n0\r\n`, `x: ${'t'.repeat(1_000)}\r\n`),
    INVALID,
  ],
  [
    'a bomb',
    behaviour.respond(200, {
      headers: { 'content-encoding': 'gzip' },
      body: gzipSync(Buffer.alloc(9_000_000)),
    }),
    OK,
  ],
  ['a redirect to itself', behaviour.respond(307, { headers: { location: '/' } }), /^response 307$/],
];

/** Starts all hostilities on free ports of 127.0.0.1. To be closed by whoever started it. */
export async function startHostileReceiver(): Promise<HostileReceiver> {
  const receiver = await startReceiver({ keepsRequests: false });
  const tlsReceiver = await startReceiver({ tls: true, keepsRequests: false });
  const sockets = new Set<Socket>();
  const servers: Server[] = [];
  const listen = async (onSocket: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
      onSocket(socket);
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const deafPort = await listen(() => undefined);
  const mutePort = await listen((socket) => socket.resume());
  const garblingPort = await listen((socket) => {
    socket.resume();
    socket.write('SSH-2.0-OpenSSH_9.6\r\n');
  });
  const resettingPort = await listen((socket) => {
    socket.once('data', () => socket.resetAndDestroy()).resume();
  });
  const atOncePort = await listen((socket) => socket.destroy());

  const hostilities: Hostility[] = HTTP.map(([name, does, outcome], index) => {
    receiver.on(`/${index}`, does);
    return { name, url: receiver.url(`/${index}`), bodyBytes: BODY_BYTES, outcome };
  });
  const at = (name: string, scheme: string, port: number, outcome: RegExp, bodyBytes = BODY_BYTES): void =>
    void hostilities.push({ name, url: `${scheme}://127.0.0.1:${port}/`, bodyBytes, outcome });
  at('a peer that never reads', 'http', deafPort, TIMEOUT, LARGE_BODY_BYTES);
  at('a handshake that hangs', 'https', mutePort, TIMEOUT);
  at('a handshake that is never read', 'https', deafPort, TIMEOUT);
  at('a handshake of garbage', 'https', garblingPort, /^tls_error$/);
  at('a reset handshake', 'https', resettingPort, BROKEN);
  at('a close at once', 'http', atOncePort, BROKEN);
  at('an untrusted certificate', 'https', tlsReceiver.port, /^tls_error$/);
  return {
    hostilities,
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([
        receiver.close(),
        tlsReceiver.close(),
        ...servers.map(async (server) => {
          server.close();
          await once(server, 'close');
        }),
      ]);
    },
  };
}
