/** What an API error's `code` means and the HTTP status that it comes with. */
export const API_ERRORS = {
  malformed_json: { status: 400, meaning: 'The body is not JSON (RFC 8259) in UTF-8.' },
  unauthenticated: { status: 401, meaning: 'There is no key, or none that is known, live and not revoked.' },
  forbidden: { status: 403, meaning: 'The key is known, but lacks the scope that the call needs.' },
  not_found: {
    status: 404,
    meaning: 'Nothing is there, the id is malformed, or it belongs to another merchant.',
  },
  method_not_allowed: { status: 405, meaning: 'The path exists, but not with this method.' },
  conflict: { status: 409, meaning: 'The call does not fit the state that its object is in.' },
  idempotency_conflict: {
    status: 409,
    meaning: 'The same event id or Idempotency-Key was used before with other content.',
  },
  payload_redacted: { status: 409, meaning: 'The data that the call needs was redacted.' },
  payload_too_large: { status: 413, meaning: 'The body is larger than the call accepts.' },
  unsupported_media_type: {
    status: 415,
    meaning: 'The body has a content type other than application/json, or a content encoding.',
  },
  invalid_request: {
    status: 422,
    meaning: 'A field is missing, unknown, mistyped or out of range; data.errors names each with its path.',
  },
  url_not_allowed: { status: 422, meaning: 'The egress policy does not let anything be sent to this URL.' },
  schema_mismatch: { status: 422, meaning: "The event's data breaks the JSON Schema of its type." },
  rate_limited: {
    status: 429,
    meaning:
      'The key has used up its rate, or too many wrong keys came from the address; Retry-After says when to come back.',
  },
  internal_error: {
    status: 500,
    meaning: 'Something broke on our side; the request id finds it in the logs.',
  },
  unavailable: {
    status: 503,
    meaning: 'The call cannot be served now and changed nothing; Retry-After says when to try again.',
  },
} as const satisfies Readonly<Record<string, { readonly status: number; readonly meaning: string }>>;
export type ApiErrorCode = keyof typeof API_ERRORS;

/** Why a delivery ended without its last attempt saying so: its own `error_code`. */
export const DELIVERY_ERRORS = {
  payload_conflict: "The payload format cannot carry this event's data; no request was made.",
  expired: 'The delivery was still open when it became older than the retention.',
} as const satisfies Readonly<Record<string, string>>;

/**
 * Codes that Posthorn itself gives to an attempt. Any other `error_code` is the code of the system, the resolver or
 * the TLS or HTTP library, as {@link foreignErrorCode} writes it: `econnrefused`, `enotfound`, `cert_has_expired`.
 */
export const ATTEMPT_ERRORS = {
  deadline_exceeded: 'The timeout ran out before the last byte of the answer was there.',
  address_not_allowed: 'The host is, or resolves to, an address that the egress policy keeps closed.',
  port_not_allowed: 'The egress policy keeps the port closed.',
  scheme_not_allowed: 'The egress policy does not allow plain http.',
  proxy_connect_failed: "The operator's egress proxy could not connect to the host.",
  response_too_long: 'The answer went on and on without its head or its body becoming longer.',
  response_mismatch: "The answer's status is a success, but it lacks what `required_response` asks for.",
  worker_lost: 'The worker went away while the request was in flight; whether it arrived is unknown.',
} as const satisfies Readonly<Record<string, string>>;

const FOREIGN_CODE = /^[a-z0-9_]{1,64}$/;

/**
 * A library's error code (`ECONNREFUSED`, `UND_ERR_SOCKET`) as a stable `error_code`: in lower case, and
 * `unclassified` for anything that does not look like a code.
 */
export function foreignErrorCode(code: unknown): string {
  const lower = typeof code === 'string' ? code.toLowerCase() : '';
  return FOREIGN_CODE.test(lower) ? lower : 'unclassified';
}
