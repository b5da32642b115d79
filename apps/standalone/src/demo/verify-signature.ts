import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** One entry of a webhook's `signatures`, as the API shows it. */
export interface SignatureEntry {
  readonly scheme: string;
  readonly header?: string;
}

export interface SignedRequest {
  readonly headers: IncomingHttpHeaders;
  /** The raw body: what was signed is its bytes, not what a parser makes of them. */
  readonly body: Buffer;
  /** The brand of the sender's headers, in lower case: `x-posthorn`. */
  readonly headerPrefix: string;
}

/** How far a signed timestamp may be from now: what receivers of Stripe and Standard Webhooks allow. */
const TIMESTAMP_TOLERANCE_SECONDS = 300;

/**
 * Whether a request carries this signature under this secret.
 *
 * It is written from the wire contract and shares nothing with the code that signs, as a receiver's would not.
 *
 * @param nowMs the receiver's clock, in milliseconds since the Unix epoch
 * @returns false too for a scheme that it does not know
 */
export function verifySignature(
  entry: SignatureEntry,
  secret: string,
  request: SignedRequest,
  nowMs: number,
): boolean {
  const { headers, body, headerPrefix } = request;
  const header = (fallback: string): string => single(headers[(entry.header ?? fallback).toLowerCase()]);
  const isRecent = (seconds: string): boolean =>
    Math.abs(nowMs / 1000 - Number(seconds)) <= TIMESTAMP_TOLERANCE_SECONDS;
  switch (entry.scheme) {
    case 'sha256-hex':
      return isSame(header(`${headerPrefix}-signature`), `sha256=${hmac(secret, body).toString('hex')}`);
    case 'hex':
      return isSame(header('x-signature'), hmac(secret, body).toString('hex'));
    case 'timestamped': {
      const parts = header(`${headerPrefix}-signature`).split(',');
      const seconds = parts.find((part) => part.startsWith('t='))?.slice(2) ?? '';
      const expected = `v1=${hmac(secret, `${seconds}.`, body).toString('hex')}`;
      return isRecent(seconds) && parts.some((part) => isSame(part, expected));
    }
    case 'standard-webhooks': {
      const seconds = single(headers['webhook-timestamp']);
      const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret;
      const mac = hmac(key, `${single(headers['webhook-id'])}.${seconds}.`, body);
      const signatures = single(headers['webhook-signature']).split(' ');
      return isRecent(seconds) && signatures.some((part) => isSame(part, `v1,${mac.toString('base64')}`));
    }
    default:
      return false;
  }
}

function hmac(key: string | Buffer, ...signed: readonly (string | Buffer)[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of signed) mac.update(part);
  return mac.digest();
}

/** In constant time; lengths are no secret. */
function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function single(header: string | string[] | undefined): string {
  return typeof header === 'string' ? header : '';
}
