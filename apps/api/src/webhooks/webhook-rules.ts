import { randomBytes } from 'node:crypto';
import {
  effectiveEndpoint,
  type CustomHeader,
  type EndpointRecord,
} from '#adapters/postgres/endpoints-record.js';
import type { EndpointSecret } from '#adapters/postgres/endpoint-secrets.js';
import type { EndpointChanges, NewEndpoint, SecretRotation } from '#adapters/postgres/endpoints.js';
import type { Dialect } from '#domain/dialects.js';
import { RETRY_PRESETS } from '#domain/retry-schedule.js';
import { generateSecret, secretProblem } from '#domain/secret.js';
import type { SignatureSpec } from '#domain/signature.js';
import { invalidRequest, type InputProblem } from '../http/api-error.js';
import { clientCertificateProblems, toClientCertificate } from './client-certificate.js';
import type { ExactFields } from './conditions.js';
import { headerCollisions, HIDDEN_VALUE, signatureProblems } from './custom-headers.js';
import { isSignedByPairsOnly } from './webhook-secret.schema.js';
import type { SecretRotate, WebhookCreate, WebhookUpdate } from './webhook.schema.js';

/**
 * The rules of a webhook that no field can be judged by alone, because they depend on the merchant's dialect, on the
 * brand of our headers, or on what the webhook was before.
 */

/** @throws {ApiError} 422 for a secret, a signature or a header that does not go with the rest */
export function newEndpoint(
  input: WebhookCreate,
  exact: ExactFields,
  context: {
    readonly merchantDialect: Dialect;
    readonly secret: string;
    readonly headerPrefix: string;
    readonly nowMs: number;
  },
): NewEndpoint {
  const { merchantDialect, secret, headerPrefix, nowMs } = context;
  const overrides = {
    dialect: input.dialect,
    payloadFormat: input.payload_format,
    signatures: input.signatures,
    retryScheduleSeconds: retryScheduleOf(input) ?? null,
  };
  const { signatures } = effectiveEndpoint(overrides, merchantDialect);
  refuse([
    ...(input.secret === undefined ? [] : givenSecretProblems(input.secret, signatures)),
    ...signatureProblems(signatures, headerPrefix),
    ...headerCollisions(input.headers, signatures, headerPrefix),
    ...(input.client_certificate ? clientCertificateProblems(input.client_certificate, nowMs) : []),
    ...plainHttpProblems(input.url, input.client_certificate !== null),
  ]);
  return {
    url: input.url,
    events: input.events,
    description: input.description,
    overrides,
    timeoutMs: input.timeout_ms,
    rateLimitPerSecond: input.rate_limit_per_second,
    maxInFlight: input.max_in_flight,
    headers: input.headers,
    clientCertificate: input.client_certificate && toClientCertificate(input.client_certificate),
    filter: exact.filter ?? null,
    successStatuses: input.success_statuses,
    requiredResponse: exact.requiredResponse ?? null,
    metadata: input.metadata,
    secret,
  };
}

/** @throws {ApiError} 422 for a change that does not go with what the webhook is */
export function endpointChanges(
  input: WebhookUpdate,
  exact: ExactFields,
  current: EndpointRecord,
  context: { readonly secrets: readonly string[]; readonly headerPrefix: string; readonly nowMs: number },
): EndpointChanges {
  const { secrets, headerPrefix, nowMs } = context;
  const changed = withoutUndefined({
    dialect: input.dialect,
    payloadFormat: input.payload_format,
    signatures: input.signatures,
    retryScheduleSeconds: retryScheduleOf(input),
  });
  const before = effectiveEndpoint(current.overrides, current.merchantDialect);
  const after = effectiveEndpoint({ ...current.overrides, ...changed }, current.merchantDialect);
  const headers = input.headers && keptHeaders(input.headers, current.headers);
  const { client_certificate: certificate } = input;
  const showsCertificate = (certificate === undefined ? current.clientCertificate : certificate) !== null;
  const signaturesChange = changed.signatures !== undefined || changed.dialect !== undefined;
  refuse([
    ...(headers?.problems ?? []),
    ...(signaturesChange ? secretProblems(secrets, before.signatures, after.signatures) : []),
    ...(signaturesChange ? signatureProblems(after.signatures, headerPrefix) : []),
    ...(signaturesChange || headers
      ? headerCollisions(headers?.headers ?? current.headers, after.signatures, headerPrefix)
      : []),
    ...(certificate ? clientCertificateProblems(certificate, nowMs) : []),
    ...plainHttpProblems(input.url ?? current.url, showsCertificate),
  ]);
  return withoutUndefined({
    url: input.url,
    events: input.events,
    description: input.description,
    overrides: Object.keys(changed).length === 0 ? undefined : changed,
    timeoutMs: input.timeout_ms,
    rateLimitPerSecond: input.rate_limit_per_second,
    maxInFlight: input.max_in_flight,
    headers: headers?.headers,
    clientCertificate: certificate && toClientCertificate(certificate),
    filter: exact.filter,
    successStatuses: input.success_statuses,
    requiredResponse: exact.requiredResponse,
    metadata: input.metadata,
    status: input.status,
  });
}

function retryScheduleOf({
  retry_preset: preset,
  retry_schedule_seconds: schedule,
}: Pick<WebhookUpdate, 'retry_preset' | 'retry_schedule_seconds'>): readonly number[] | null | undefined {
  return preset === undefined ? schedule : RETRY_PRESETS[preset];
}

/** @throws {ApiError} 422 for a secret that cannot be the webhook's next one */
export function nextSecret(
  input: SecretRotate,
  current: EndpointRecord,
  live: readonly EndpointSecret[],
): SecretRotation {
  const { signatures } = effectiveEndpoint(current.overrides, current.merchantDialect);
  const { secret: given, overlap_seconds: overlapSeconds } = input;
  if (given === undefined) return { secret: generateSecret(randomBytes), overlapSeconds };
  const isLive = overlapSeconds > 0 && live.some(({ secret }) => secret === given);
  refuse([
    ...givenSecretProblems(given, signatures),
    ...(isLive ? [{ path: 'secret', message: 'is live already, and would be through the overlap' }] : []),
  ]);
  return { secret: given, overlapSeconds };
}

function givenSecretProblems(secret: string, signatures: readonly SignatureSpec[]): InputProblem[] {
  const message = isSignedByPairsOnly(signatures)
    ? 'cannot be chosen: the pair that signs is generated'
    : secretProblem(secret, signatures);
  return message === null ? [] : [{ path: 'secret', message }];
}

/** A secret that is there already is only in the way where the new signatures ask more of it than the old. */
function secretProblems(
  secrets: readonly string[],
  before: readonly SignatureSpec[],
  after: readonly SignatureSpec[],
): InputProblem[] {
  const unfit = secrets.some(
    (secret) => secretProblem(secret, before) === null && secretProblem(secret, after) !== null,
  );
  if (!unfit) return [];
  const message = 'cannot sign with the secret that the webhook has: rotate it first';
  return [{ path: 'signatures', message }];
}

/** Without TLS nothing would be shown, and nobody would notice. */
function plainHttpProblems(url: string, showsCertificate: boolean): InputProblem[] {
  if (!showsCertificate || URL.parse(url)?.protocol !== 'http:') return [];
  return [{ path: 'client_certificate', message: 'needs a webhook whose url is https' }];
}

function keptHeaders(
  given: readonly CustomHeader[],
  before: readonly CustomHeader[],
): { readonly headers: readonly CustomHeader[]; readonly problems: readonly InputProblem[] } {
  const values = new Map(before.map(([name, value]) => [name.toLowerCase(), value]));
  const problems: InputProblem[] = [];
  const headers = given.map(([name, value]): CustomHeader => {
    if (value !== HIDDEN_VALUE) return [name, value];
    const kept = values.get(name.toLowerCase());
    if (kept === undefined)
      problems.push({ path: `headers.${name}`, message: 'has no value that could be kept' });
    return [name, kept ?? ''];
  });
  return { headers, problems };
}

function refuse(problems: readonly InputProblem[]): void {
  const [first, ...rest] = problems;
  if (first !== undefined) throw invalidRequest([first, ...rest]);
}

function withoutUndefined<Value extends object>(
  value: Value,
): { [Key in keyof Value]?: Exclude<Value[Key], undefined> } {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof Value]?: Exclude<Value[Key], undefined> };
}
