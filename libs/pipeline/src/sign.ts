import { formatId } from '#domain/ids.js';
import { buildPayload } from '#domain/payload-format.js';
import { allSignatureHeaders } from '#domain/signature.js';
import type { Claimed, Target } from './delivery-store.js';

export interface Brand {
  /** Begins the names of our headers: `X-Posthorn`. */
  readonly headerPrefix: string;
  /** `Posthorn/1.2.3` */
  readonly userAgent: string;
}

type Header = readonly [name: string, value: string];

export interface SignedRequest {
  readonly body: Uint8Array;
  readonly headers: readonly Header[];
  /** The same headers as the log may show them: signatures redacted, of the merchant's own only the names. */
  readonly loggedHeaders: readonly Header[];
}

/** The request of one attempt. The body is the same on every attempt; time, number and signatures are not. */
export function signRequest(
  claim: Claimed & { readonly event: { readonly data: Uint8Array } },
  target: Target,
  brand: Brand,
  unixSeconds: number,
): SignedRequest {
  const { event } = claim;
  const eventId = event.producerId ?? formatId('evt', claim.eventId);
  const body = buildPayload(claim.payloadFormat, { ...event, publicId: eventId });
  const { secrets, privateKeys } = target;
  const input = { secrets, privateKeys, eventId, unixSeconds, body, headerPrefix: brand.headerPrefix };
  const own: Header[] = [
    ['content-type', 'application/json'],
    ['user-agent', brand.userAgent],
    [`${brand.headerPrefix}-Event-Id`, eventId],
    [`${brand.headerPrefix}-Event-Type`, event.type],
    [`${brand.headerPrefix}-Delivery-Id`, formatId('dlv', claim.deliveryId)],
    [`${brand.headerPrefix}-Attempt`, String(claim.attemptNumber)],
  ];
  const headers = own.slice();
  const loggedHeaders = own;
  for (const signature of allSignatureHeaders(target.signatures, input)) {
    headers.push(signature);
    loggedHeaders.push(REVEALED_HEADERS.has(signature[0]) ? signature : [signature[0], REDACTED]);
  }
  for (const header of target.headers) {
    headers.push(header);
    loggedHeaders.push([header[0], REDACTED]);
  }
  return { body, headers, loggedHeaders };
}

const REDACTED = '***';
/** Come with a signature, but hold nothing secret, and are what a support engineer needs to check one. */
const REVEALED_HEADERS: ReadonlySet<string> = new Set(['webhook-id', 'webhook-timestamp']);
