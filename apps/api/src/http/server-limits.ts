/** How long the server waits for clients, and how much it lets them say before it listens. */
export interface ServerLimits {
  /** From a connection's first byte, or its opening, to the end of the headers. */
  readonly headersTimeoutMs: number;
  /** From the first byte of a request to the last of its body. */
  readonly requestTimeoutMs: number;
  /** Without a byte in either direction. */
  readonly silenceTimeoutMs: number;
  /** Between an answer and the next request of the same connection. */
  readonly keepAliveTimeoutMs: number;
  /** How often the first two are looked at. */
  readonly timeoutCheckMs: number;
}

export const SERVER_LIMITS: ServerLimits = {
  /** 16 KiB take that long at ten kilobits. Slower is somebody who holds connections on purpose. */
  headersTimeoutMs: 15_000,
  /** Headers and body must have arrived by then; 8 MiB take that long at half a megabit. */
  requestTimeoutMs: 120_000,
  /** Longer than any call takes and any of the others, which tell the client what is wrong; this one hangs up. */
  silenceTimeoutMs: 150_000,
  /** Longer than proxies keep an idle connection, so that they close first and never write into a closing one. */
  keepAliveTimeoutMs: 72_000,
  /** A walk over the connections that wait, and the most by which a client can overdraw. */
  timeoutCheckMs: 5_000,
};

/** Node's own default, said here because the edge promises it. Names and values together. */
export const HEADERS_BYTES_MAX = 16 * 1024;
/** Clients send about ten and each proxy adds a few. Node would drop those past 2,000 and say nothing. */
export const HEADERS_MAX = 100;
