/**
 * The port of the one guarded sender: everything that leaves Posthorn goes through it.
 * Implementations never throw for what a receiver, a resolver or a network did; they return it.
 */
export interface Sender {
  send(request: OutgoingRequest): Promise<SendResult>;
  /**
   * Closes all connections. Requests in flight are left to end by their own deadlines first, or are cut after
   * `graceMs` where that is given.
   */
  close(graceMs?: number): Promise<void>;
}

/** What a client shows a receiver that asks for a certificate. Both are PEM, the key without a passphrase. */
export interface ClientCertificate {
  /** The certificate itself first, then those between it and what the receiver trusts. */
  readonly certificate: string;
  readonly privateKey: string;
}

export interface OutgoingRequest {
  /** Whose request it is. A connection that one merchant's request opened is never used for another's. */
  readonly merchantId: string;
  readonly url: string;
  /** Null: none. Only with an `https` URL. */
  readonly clientCertificate: ClientCertificate | null;
  /** Names and values as they go on the wire, in order; no `host`, `content-length` or hop-by-hop names. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
  /**
   * The one absolute deadline over look-up, connect, TLS, headers and body, on the clock of
   * `performance.now()`, in milliseconds.
   */
  readonly deadlineMs: number;
  /** Called once, when the first byte may have left: from here on a result is the receiver's doing. */
  readonly onSent?: () => void;
}

/** What went wrong before a whole response was there. `error_code` in the log is `errorCode`. */
export type SendFailureKind =
  'timeout' | 'dns_error' | 'connection_error' | 'tls_error' | 'blocked' | 'invalid_response';

export interface SendTimings {
  readonly durationMs: number;
  /** The address of the peer, once one was connected to. */
  readonly remoteAddress: string | null;
}

export interface SendResponse extends SendTimings {
  readonly kind: 'response';
  readonly statusCode: number;
  /** In wire order, names lower-cased. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** At most the cap; not decompressed. */
  readonly body: Uint8Array;
  readonly bodyTruncated: boolean;
}

export interface SendFailure extends SendTimings {
  readonly kind: SendFailureKind;
  /** A stable lower-case code, such as `econnrefused`, `enotfound`, `address_not_allowed`, `deadline_exceeded`. */
  readonly errorCode: string;
  /** For people; says nothing about what stands behind a blocked address. */
  readonly message: string;
}

export type SendResult = SendResponse | SendFailure;
