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
  const signatures = allSignatureHeaders(target.signatures, input);
  return {
    body,
    headers: [...own, ...signatures, ...target.headers],
    loggedHeaders: [
      ...own,
      ...signatures.map(([name, value]): Header => [name, REVEALED_HEADERS.has(name) ? value : REDACTED]),
      ...target.headers.map(([name]): Header => [name, REDACTED]),
    ],
  };
}

const REDACTED = '***';
/** Come with a signature, but hold nothing secret, and are what a support engineer needs to check one. */
const REVEALED_HEADERS: ReadonlySet<string> = new Set(['webhook-id', 'webhook-timestamp']);
