import type { CustomHeader } from '#adapters/postgres/endpoints-record.js';
import { DIALECTS } from '#domain/dialects.js';
import { isStandardWebhooks, signatureHeaderNames, type SignatureSpec } from '#domain/signature.js';
import type { InputProblem } from '../http/api-error.js';

export const CUSTOM_HEADERS_MAX = 20;
export const HEADER_NAME_LENGTH_MAX = 128;
/** Servers commonly take 8 KiB of headers in all; ours and the signatures need the rest. */
const CUSTOM_HEADERS_BYTES_MAX = 6_144;
/** What a value is shown as, and what keeps it in a PATCH. */
export const HIDDEN_VALUE = '***';

/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, 5.5: visible characters, blanks and obs-text, each of which is one byte on the wire. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Of one connection and not of the message (RFC 9110, 7.6.1), or written by the sender itself. */
const SENDERS_OWN: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
]);
const STANDARD_WEBHOOKS: ReadonlySet<string> = new Set(
  signatureHeaderNames({ scheme: 'standard-webhooks' }, ''),
);
/** What follows the brand in the headers that go with every request. */
const BRANDED = ['event-id', 'event-type', 'delivery-id', 'attempt', 'sequence'];

export function isHeaderName(name: string): boolean {
  return name.length <= HEADER_NAME_LENGTH_MAX && TOKEN.test(name);
}

/** What is wrong with custom headers whatever the endpoint's signatures are, each with its path. */
export function customHeaderProblems(headers: readonly CustomHeader[]): InputProblem[] {
  const problems: InputProblem[] = [];
  const report = (name: string, message: string): void =>
    void problems.push({ path: `headers.${name}`, message });
  const seen = new Set<string>();
  for (const [name, value] of headers) {
    const lowerName = name.toLowerCase();
    if (!isHeaderName(name))
      report(name, `must be a header name of at most ${HEADER_NAME_LENGTH_MAX} characters`);
    else if (isSendersOwn(lowerName)) report(name, 'is not a header that can be set');
    else if (seen.has(lowerName)) report(name, 'is there more than once, in another case');
    else if (!FIELD_VALUE.test(value)) report(name, 'must be printable Latin-1 without line breaks');
    seen.add(lowerName);
  }
  if (headers.length > CUSTOM_HEADERS_MAX) {
    problems.push({ path: 'headers', message: `must have at most ${CUSTOM_HEADERS_MAX} members` });
  }
  if (bytesOf(headers) > CUSTOM_HEADERS_BYTES_MAX) {
    problems.push({ path: 'headers', message: `must have at most ${CUSTOM_HEADERS_BYTES_MAX} bytes in all` });
  }
  return problems;
}

/** Custom headers that would stand beside one of ours. */
export function headerCollisions(
  headers: readonly CustomHeader[],
  signatures: readonly SignatureSpec[],
  headerPrefix: string,
): InputProblem[] {
  const taken = takenBySignatures(signatures, headerPrefix);
  const brand = `${headerPrefix.toLowerCase()}-`;
  return headers
    .map(([name]) => name)
    .filter((name) => taken.has(name.toLowerCase()) || name.toLowerCase().startsWith(brand))
    .map((name) => ({ path: `headers.${name}`, message: 'is a header that Posthorn sets' }));
}

/** Signatures that would stand beside one another or beside another header of ours. */
export function signatureProblems(
  signatures: readonly SignatureSpec[],
  headerPrefix: string,
): InputProblem[] {
  const brand = headerPrefix.toLowerCase();
  const seen = new Set(BRANDED.map((name) => `${brand}-${name}`));
  const seenStandard = new Set<string>();
  const problems: InputProblem[] = [];
  for (const [index, spec] of signatures.entries()) {
    const names = signatureHeaderNames(spec, headerPrefix).map((name) => name.toLowerCase());
    // Both schemes of Standard Webhooks share their headers, one signature beside the other.
    const isTaken = isStandardWebhooks(spec)
      ? seenStandard.has(spec.scheme)
      : names.some((name) => seen.has(name) || isSendersOwn(name)) ||
        (spec.header !== undefined && STANDARD_WEBHOOKS.has(spec.header.toLowerCase()));
    if (isTaken) {
      problems.push({
        path: `signatures.${index}.header`,
        message: 'is a header that something else is sent in',
      });
    }
    if (isStandardWebhooks(spec)) seenStandard.add(spec.scheme);
    for (const name of names) seen.add(name);
  }
  return problems;
}

/**
 * Also those that other dialects sign in: the merchant's dialect can change under its endpoints, and a receiver must
 * never find a merchant's own value where it expects a signature.
 */
function takenBySignatures(signatures: readonly SignatureSpec[], headerPrefix: string): ReadonlySet<string> {
  const specs = [...signatures, ...Object.values(DIALECTS).flatMap((dialect) => dialect.signatures)];
  const names = specs.flatMap((spec) => signatureHeaderNames(spec, headerPrefix));
  return new Set(names.map((name) => name.toLowerCase()));
}

function isSendersOwn(lowerName: string): boolean {
  return SENDERS_OWN.has(lowerName) || lowerName.startsWith('content-');
}

function bytesOf(headers: readonly CustomHeader[]): number {
  return headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
}
