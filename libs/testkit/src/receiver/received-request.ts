import type { IncomingHttpHeaders } from 'node:http';

/** A request, kept as it came, once its body was there whole. */
export interface ReceivedRequest {
  readonly method: string;
  /** Path and query, as on the request line. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Name, value, name, value, ... in wire order and case. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** When its head had arrived, on the clock of `performance.now()`. */
  readonly arrivedMs: number;
  /** The same instant in milliseconds since the Unix epoch. */
  readonly arrivedAtUnixMs: number;
  /** Which of the connections made to the receiver it came on, from 1. */
  readonly connection: number;
  /** The common name of the certificate that the client showed. */
  readonly clientName: string | null;
}
