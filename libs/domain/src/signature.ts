import { createHmac, createSecretKey, type KeyObject, sign } from 'node:crypto';

/**
 * How a delivery proves where it comes from: HMAC-SHA256 under the endpoint's secret, and in the last one Ed25519 under
 * a key of the endpoint's that never leaves.
 */
export const SIGNATURE_SCHEMES = [
  'sha256-hex',
  'hex',
  'timestamped',
  'standard-webhooks',
  'standard-webhooks-ed25519',
] as const;
export type SignatureScheme = (typeof SIGNATURE_SCHEMES)[number];

export interface SignatureSpec {
  readonly scheme: SignatureScheme;
  /** Replaces the scheme's own header name. Of no effect with the two of Standard Webhooks, whose names are fixed. */
  readonly header?: string | undefined;
}

export interface SigningInput {
  /** The live secrets, oldest first; at least one. */
  readonly secrets: readonly string[];
  /** The live Ed25519 keys, oldest first; at least one where `standard-webhooks-ed25519` signs. */
  readonly privateKeys?: readonly KeyObject[] | undefined;
  /** The event's public id, the same on every attempt. */
  readonly eventId: string;
  readonly unixSeconds: number;
  readonly body: Uint8Array;
  /** Brand of the headers, without the hyphen: `X-Posthorn`. */
  readonly headerPrefix: string;
}

/** Marks a secret of the Standard Webhooks specification, whose key is the base64 that follows. */
export const STANDARD_SECRET_PREFIX = 'whsec_';

/** Names of the headers that a signature occupies, in the order of {@link signatureHeaders}. */
export function signatureHeaderNames(spec: SignatureSpec, headerPrefix: string): readonly string[] {
  switch (spec.scheme) {
    case 'sha256-hex':
    case 'timestamped':
      return [spec.header ?? `${headerPrefix}-Signature`];
    case 'hex':
      return [spec.header ?? 'X-Signature'];
    case 'standard-webhooks':
    case 'standard-webhooks-ed25519':
      return ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
    default:
      return unknownScheme(spec.scheme);
  }
}

/** Whether the names of its headers are the specification's, and shared by both of its schemes. */
export function isStandardWebhooks({ scheme }: SignatureSpec): boolean {
  return scheme === 'standard-webhooks' || scheme === 'standard-webhooks-ed25519';
}

/**
 * The headers of all of an endpoint's signatures. Both schemes of Standard Webhooks write into the same ones: their
 * signatures stand there side by side, separated by a space, as the specification has it.
 * @throws RangeError when there is no secret, or no key for a scheme that needs one
 */
export function allSignatureHeaders(
  specs: readonly SignatureSpec[],
  input: SigningInput,
): [name: string, value: string][] {
  const headers = new Map<string, string>();
  for (const [name, value] of specs.flatMap((spec) => signatureHeaders(spec, input))) {
    const before = headers.get(name);
    headers.set(name, before === undefined || before === value ? value : `${before} ${value}`);
  }
  return [...headers];
}

/**
 * The headers of one signature of one attempt.
 *
 * A scheme whose header carries one value signs with the oldest live secret, so that a receiver can learn the new
 * one before the overlap ends. A scheme whose header carries several signs with every live secret, oldest first.
 * @throws RangeError when there is no secret, or no key for a scheme that needs one
 */
export function signatureHeaders(spec: SignatureSpec, input: SigningInput): [name: string, value: string][] {
  const values = signatureValues(spec.scheme, input);
  return signatureHeaderNames(spec, input.headerPrefix).map((name, index) => [name, values[index] ?? '']);
}

function signatureValues(scheme: SignatureScheme, input: SigningInput): readonly string[] {
  const { secrets, eventId, unixSeconds, body } = input;
  const oldest = secrets[0];
  if (oldest === undefined) throw new RangeError('signing needs at least one secret');
  switch (scheme) {
    case 'sha256-hex':
      return [`sha256=${hmac(oldest, '', body).toString('hex')}`];
    case 'hex':
      return [hmac(oldest, '', body).toString('hex')];
    case 'timestamped': {
      const signatures = secrets.map(
        (secret) => `v1=${hmac(secret, `${unixSeconds}.`, body).toString('hex')}`,
      );
      return [[`t=${unixSeconds}`, ...signatures].join(',')];
    }
    case 'standard-webhooks': {
      const before = `${eventId}.${unixSeconds}.`;
      const signatures = standardWebhooksKeys(secrets).map(
        (key) => `v1,${hmac(key, before, body).toString('base64')}`,
      );
      return [eventId, String(unixSeconds), signatures.join(' ')];
    }
    case 'standard-webhooks-ed25519': {
      const { privateKeys = [] } = input;
      if (privateKeys.length === 0) throw new RangeError('signing needs at least one private key');
      const signed = Buffer.concat([Buffer.from(`${eventId}.${unixSeconds}.`), body]);
      const signatures = privateKeys.map((key) => `v1a,${sign(null, signed, key).toString('base64')}`);
      return [eventId, String(unixSeconds), signatures.join(' ')];
    }
    default:
      return unknownScheme(scheme);
  }
}

/** The HMAC of `before` and `body`, under a key or a secret's UTF-8 bytes. */
function hmac(key: string | KeyObject, before: string, body: Uint8Array): Buffer {
  return createHmac('sha256', key).update(before).update(body).digest();
}

/**
 * Keys of the Standard Webhooks scheme: what follows `whsec_`, decoded; any other secret as UTF-8. Made once for a list of
 * secrets: handing the bytes themselves to an HMAC costs Node several times the HMAC.
 */
function standardWebhooksKeys(secrets: readonly string[]): readonly KeyObject[] {
  const known = STANDARD_KEYS.get(secrets);
  if (known !== undefined) return known;
  const keys = secrets.map((secret) =>
    createSecretKey(
      secret.startsWith(STANDARD_SECRET_PREFIX)
        ? Buffer.from(secret.slice(STANDARD_SECRET_PREFIX.length), 'base64')
        : Buffer.from(secret, 'utf8'),
    ),
  );
  STANDARD_KEYS.set(secrets, keys);
  return keys;
}

const STANDARD_KEYS = new WeakMap<readonly string[], readonly KeyObject[]>();

function unknownScheme(scheme: never): never {
  throw new Error(`no such signature scheme: ${String(scheme)}`);
}
