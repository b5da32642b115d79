import { foreignErrorCode } from '#domain/error-codes.js';
import { errors } from 'undici';
import type { SendFailureKind } from '#pipeline/sender.js';

/** Receivers decide the length of some texts (a certificate's names, a parser's excerpt); the log does not need more. */
const MESSAGE_LENGTH_MAX = 300;

/** Why a request got no whole response. Travels inside the sender; `send` turns it into a result. */
export class SendError extends Error {
  readonly kind: SendFailureKind;
  readonly errorCode: string;

  constructor(kind: SendFailureKind, errorCode: string, message: string, cause?: unknown) {
    super(message.slice(0, MESSAGE_LENGTH_MAX), cause === undefined ? undefined : { cause });
    this.name = 'SendError';
    this.kind = kind;
    this.errorCode = errorCode;
  }
}

/** This machine is out of something. No receiver, resolver or network did it, so it is thrown, not returned. */
const LOCAL_FAULT_CODES: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'EAI_MEMORY',
]);

/** What undici calls a response that it will not read on. */
const INVALID_RESPONSE_CODES: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
]);

/** A look-up that failed. Resolvers' codes are many and open-ended; whatever it is, it is about the name. */
export function lookupFailure(error: unknown): unknown {
  const code = codeOf(error);
  if (code === null || LOCAL_FAULT_CODES.has(code)) return error;
  return new SendError('dns_error', foreignErrorCode(code), messageOf(error), error);
}

/** A connection that could not be made, before TLS. */
export function connectFailure(error: unknown): unknown {
  const code = codeOf(error);
  return code !== null && isNetworkCode(code) ? networkFailure(code, error) : error;
}

/**
 * A TLS handshake that failed. OpenSSL's codes (`CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`, ...) have no
 * common form, so here everything that is not the network's is TLS's.
 */
export function handshakeFailure(error: unknown): unknown {
  const code = codeOf(error);
  if (code === null || LOCAL_FAULT_CODES.has(code)) return error;
  if (isNetworkCode(code) && !isTlsCode(code)) return networkFailure(code, error);
  return new SendError('tls_error', foreignErrorCode(code), messageOf(error), error);
}

/**
 * An exchange that broke on an open connection. `closedByPeer` tells the two meanings of undici's
 * `UND_ERR_SOCKET` apart: the peer closed, or undici refused an answer such as an unasked-for `101`.
 */
export function exchangeFailure(error: unknown, closedByPeer: boolean): unknown {
  // By type: undici means to give its parser's errors codes (`HPE_...`), but up to 8.12 they have none.
  if (error instanceof errors.HTTPParserError) {
    return new SendError('invalid_response', 'http_parser_error', messageOf(error), error);
  }
  const code = codeOf(error);
  if (error instanceof SendError || code === null) return error;
  if (INVALID_RESPONSE_CODES.has(code) || (code === 'UND_ERR_SOCKET' && !closedByPeer)) {
    return new SendError('invalid_response', foreignErrorCode(code), messageOf(error), error);
  }
  // TLS 1.3 servers refuse a client's missing certificate only after the handshake.
  if (isTlsCode(code)) return new SendError('tls_error', foreignErrorCode(code), messageOf(error), error);
  return code === 'UND_ERR_SOCKET' || isNetworkCode(code) ? networkFailure(code, error) : error;
}

function networkFailure(code: string, error: unknown): SendError {
  return new SendError('connection_error', foreignErrorCode(code), messageOf(error), error);
}

function isTlsCode(code: string): boolean {
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO';
}

/** A system call's own error: `ECONNRESET`, `EHOSTUNREACH`, ... but not Node's `ERR_...`, and not a local fault. */
function isNetworkCode(code: string): boolean {
  return /^E[A-Z0-9]+$/.test(code) && !LOCAL_FAULT_CODES.has(code);
}

function codeOf(error: unknown): string | null {
  const code = memberOf(error, 'code');
  return typeof code === 'string' ? code : null;
}

/** When every address of a host failed, Node's error has no message of its own, but theirs inside. */
function messageOf(error: unknown): string {
  const message = memberOf(error, 'message');
  if (typeof message === 'string' && message !== '') return message;
  const errors = memberOf(error, 'errors');
  return Array.isArray(errors) ? errors.map(messageOf).join('; ') : '';
}

/** By shape and not by `instanceof`, which is false for errors from another realm, such as a VM context's outside. */
function memberOf(error: unknown, name: 'code' | 'message' | 'errors'): unknown {
  return typeof error === 'object' && error !== null
    ? (error as Readonly<Record<string, unknown>>)[name]
    : undefined;
}
