import type { AcknowledgementPolicy } from '#domain/acknowledgement.js';
import {
  DEFAULT_DIALECT,
  DIALECT_NAMES,
  DIALECTS,
  type Dialect,
  type DialectParts,
} from '#domain/dialects.js';
import { type HealthEvidence, NO_EVIDENCE } from '#domain/endpoint-health.js';
import type { FilterCondition } from '#domain/payload-filter.js';
import { PAYLOAD_FORMATS, type PayloadFormat } from '#domain/payload-format.js';
import type { SignatureSpec } from '#domain/signature.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { ClientCertificate } from '#pipeline/sender.js';
import type { Prisma } from './generated/client.js';

export const ENDPOINT_STATUSES = ['enabled', 'paused', 'disabled'] as const;
export type EndpointStatus = (typeof ENDPOINT_STATUSES)[number];

/** `manual`: by call; `gone`: its receiver answered 410; `failing`: it failed for too long. */
export const DISABLED_REASONS = ['manual', 'gone', 'failing'] as const;
export type DisabledReason = (typeof DISABLED_REASONS)[number];

/** What an endpoint says for itself instead of following its merchant's dialect. Null: it follows. */
export interface DialectOverrides {
  readonly dialect: Dialect | null;
  readonly payloadFormat: PayloadFormat | null;
  readonly signatures: readonly SignatureSpec[] | null;
  readonly retryScheduleSeconds: readonly number[] | null;
}

export interface EffectiveDialect extends DialectParts {
  readonly dialect: Dialect;
}

export type CustomHeader = readonly [name: string, value: string];

/** The merchant's own notes, kept and shown. */
export type Metadata = Readonly<Record<string, string>>;

/** An endpoint as its merchant configured it, and how it fares. */
export interface EndpointRecord {
  readonly id: string;
  readonly merchantId: string;
  readonly merchantDialect: Dialect;
  readonly url: string;
  readonly events: readonly string[];
  readonly description: string | null;
  readonly status: EndpointStatus;
  readonly disabledReason: DisabledReason | null;
  readonly overrides: DialectOverrides;
  /** Null: it wants every event of its types. */
  readonly filter: readonly FilterCondition[] | null;
  readonly acknowledgement: AcknowledgementPolicy;
  readonly timeoutMs: number;
  /** Attempts that may begin in a second; null: no limit. */
  readonly rateLimitPerSecond: number | null;
  /** Attempts that may be under way at once, across all workers. */
  readonly maxInFlight: number;
  /** The merchant's own headers, in clear. */
  readonly headers: readonly CustomHeader[];
  /** What the receiver is shown where it asks who we are, the private key in clear. */
  readonly clientCertificate: ClientCertificate | null;
  readonly metadata: Metadata;
  readonly health: HealthEvidence;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The columns by which an endpoint departs from its merchant's dialect, as the database holds them. */
export interface OverrideColumns {
  readonly dialect: string | null;
  readonly payloadFormat: string | null;
  readonly signatures: unknown;
  readonly retryScheduleSeconds: unknown;
}

/** How an endpoint is written to now: its own dialect or its merchant's, then whatever parts it overrides. */
export function effectiveEndpoint(overrides: DialectOverrides, merchantDialect: Dialect): EffectiveDialect {
  const dialect = overrides.dialect ?? merchantDialect;
  const parts = DIALECTS[dialect];
  return {
    dialect,
    payloadFormat: overrides.payloadFormat ?? parts.payloadFormat,
    signatures: overrides.signatures ?? parts.signatures,
    retryScheduleSeconds: overrides.retryScheduleSeconds ?? parts.retryScheduleSeconds,
  };
}

export function overridesOf(row: OverrideColumns): DialectOverrides {
  return {
    dialect: row.dialect === null ? null : dialectOf(row.dialect),
    payloadFormat: PAYLOAD_FORMATS.find((format) => format === row.payloadFormat) ?? null,
    // Only this folder writes these columns, from values that were checked against the same types.
    signatures: row.signatures as readonly SignatureSpec[] | null,
    retryScheduleSeconds: row.retryScheduleSeconds as readonly number[] | null,
  };
}

// Only this folder writes these columns, too. Their scalars are JSON texts within JSON, because jsonb, and what reads it,
// would make other numbers of them.

export function filterOf(row: { readonly filter: unknown }): readonly FilterCondition[] | null {
  return row.filter as readonly FilterCondition[] | null;
}

export function acknowledgementOf(row: {
  readonly successStatuses: unknown;
  readonly requiredResponse: unknown;
}): AcknowledgementPolicy {
  return {
    successStatuses: row.successStatuses as AcknowledgementPolicy['successStatuses'],
    requiredResponse: row.requiredResponse as AcknowledgementPolicy['requiredResponse'],
  };
}

export function dialectOf(text: string): Dialect {
  return DIALECT_NAMES.find((name) => name === text) ?? DEFAULT_DIALECT;
}

/** Null when there are none. Names are sealed with their values, as one text bound to the endpoint. */
export function sealHeaders(
  box: SecretBox,
  endpointId: string,
  headers: readonly CustomHeader[],
): Uint8Array<ArrayBuffer> | null {
  return headers.length === 0 ? null : box.seal(Buffer.from(JSON.stringify(headers)), endpointId);
}

/**
 * The merchant's own headers of an endpoint, in the order in which they were given.
 * @throws {Error} when they were sealed under an unknown key or for another endpoint
 */
export function openHeaders(box: SecretBox, endpointId: string, sealed: Uint8Array | null): CustomHeader[] {
  if (sealed === null) return [];
  return JSON.parse(Buffer.from(box.open(sealed, endpointId)).toString('utf8')) as CustomHeader[];
}

/** The certificate is sealed with its key, as one text bound to the endpoint. */
export function sealClientCertificate(
  box: SecretBox,
  endpointId: string,
  clientCertificate: ClientCertificate | null,
): Uint8Array<ArrayBuffer> | null {
  if (clientCertificate === null) return null;
  const { certificate, privateKey } = clientCertificate;
  return box.seal(Buffer.from(JSON.stringify({ certificate, privateKey })), endpointId);
}

/** @throws {Error} when it was sealed under an unknown key or for another endpoint */
export function openClientCertificate(
  box: SecretBox,
  endpointId: string,
  sealed: Uint8Array | null,
): ClientCertificate | null {
  if (sealed === null) return null;
  return JSON.parse(Buffer.from(box.open(sealed, endpointId)).toString('utf8')) as ClientCertificate;
}

/** What has to be read with an endpoint to make an {@link EndpointRecord} of it. */
export const ENDPOINT_RELATIONS = {
  gate: {
    select: {
      consecutiveFailures: true,
      lastSuccessAt: true,
      lastFailureAt: true,
      lane: true,
      breakerState: true,
      breakerChangedAt: true,
    },
  },
  merchant: { select: { dialect: true } },
} as const satisfies Prisma.EndpointInclude;

type EndpointRow = Prisma.EndpointGetPayload<{ include: typeof ENDPOINT_RELATIONS }>;

export function toEndpointRecord(row: EndpointRow, box: SecretBox): EndpointRecord {
  return {
    id: row.id,
    merchantId: row.merchantId,
    merchantDialect: dialectOf(row.merchant.dialect),
    url: row.url,
    events: row.events,
    description: row.description,
    // Both columns are held to these values by the table's own checks.
    status: row.status as EndpointStatus,
    disabledReason: row.disabledReason as DisabledReason | null,
    overrides: overridesOf(row),
    filter: filterOf(row),
    acknowledgement: acknowledgementOf(row),
    timeoutMs: row.timeoutMs,
    rateLimitPerSecond: row.rateLimitPerSecond,
    maxInFlight: row.maxInFlight,
    headers: openHeaders(box, row.id, row.headersSealed),
    clientCertificate: openClientCertificate(box, row.id, row.clientCertificateSealed),
    metadata: row.metadata as Metadata,
    // The gate's texts, too, are held to these values by its checks.
    health: row.gate === null ? NO_EVIDENCE : (row.gate as HealthEvidence),
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
}
