import type { AcknowledgementPolicy } from '#domain/acknowledgement.js';
import type { Dialect, DialectParts } from '#domain/dialects.js';
import type { MerchantSubscriptions, SubscribedEndpoint } from '#pipeline/accept-store.js';
import { payloadFilter } from '#domain/payload-filter.js';
import type { Statements } from './database.js';
import type { SealedSecret } from './endpoint-secrets.js';
import {
  acknowledgementOf,
  dialectOf,
  effectiveEndpoint,
  filterOf,
  type OverrideColumns,
  overridesOf,
} from './endpoints-record.js';

/** An endpoint as an attempt needs it. */
export interface EndpointTarget extends DialectParts {
  readonly id: string;
  readonly merchantId: string;
  /** Raised by every change: a target of an older version is not to be sent to. */
  readonly version: bigint;
  readonly dialect: Dialect;
  readonly url: string;
  readonly timeoutMs: number;
  /** The schedule is the endpoint's own and not its dialect's. */
  readonly hasOwnSchedule: boolean;
  readonly headersSealed: Uint8Array | null;
  readonly clientCertificateSealed: Uint8Array | null;
  readonly acknowledgement: AcknowledgementPolicy;
  /** Those that are live by the database's clock, oldest first. */
  readonly secrets: readonly SealedSecret[];
  /** How long all of them stay live, by the same clock; null: until a rotation. */
  readonly liveForMs: number | null;
}

interface TargetRow extends OverrideColumns {
  readonly id: string;
  readonly merchantId: string;
  readonly merchantDialect: string;
  readonly version: bigint;
  readonly url: string;
  readonly timeoutMs: number;
  readonly headersSealed: Uint8Array | null;
  readonly clientCertificateSealed: Uint8Array | null;
  readonly successStatuses: unknown;
  readonly requiredResponse: unknown;
  readonly secretId: string | null;
  readonly secretSealed: Uint8Array | null;
  readonly secretPublicKey: Uint8Array | null;
  readonly secretExpiresAt: Date | null;
  readonly secretLiveForMs: number | null;
}

/**
 * What the worker needs to send to these endpoints, whatever their status: whether one may be sent to is the claim's
 * question. In: endpoint ids. Out: a target each; deleted ones are absent.
 */
export async function loadTargets(
  db: Statements,
  endpointIds: readonly string[],
): Promise<Map<string, EndpointTarget>> {
  const rows = await db.$queryRaw<TargetRow[]>`
    SELECT e.id, e.merchant_id AS "merchantId", m.dialect AS "merchantDialect", e.version, e.url,
           e.timeout_ms AS "timeoutMs", e.headers_sealed AS "headersSealed",
           e.client_certificate_sealed AS "clientCertificateSealed", e.dialect,
           e.payload_format AS "payloadFormat", e.signatures, e.retry_schedule_seconds AS "retryScheduleSeconds",
           e.success_statuses AS "successStatuses", e.required_response AS "requiredResponse",
           s.id AS "secretId", s.sealed AS "secretSealed", s.public_key AS "secretPublicKey",
           s.expires_at AS "secretExpiresAt",
           (extract(epoch FROM s.expires_at - now()) * 1000)::float8 AS "secretLiveForMs"
    FROM endpoints e
    JOIN merchants m ON m.id = e.merchant_id
    LEFT JOIN endpoint_secrets s ON s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > now())
    WHERE e.id = ANY (${[...endpointIds]}::uuid[]) AND e.deleted_at IS NULL
    ORDER BY e.id, s.expires_at NULLS LAST, s.created_at, s.id`;
  const targets = new Map<string, EndpointTarget & { readonly secrets: SealedSecret[] }>();
  for (const row of rows) {
    let target = targets.get(row.id);
    if (target === undefined) {
      const { id, merchantId, version, url, timeoutMs, headersSealed, clientCertificateSealed } = row;
      const overrides = overridesOf(row);
      target = {
        ...{ id, merchantId, version, url, timeoutMs, headersSealed, clientCertificateSealed },
        ...effectiveEndpoint(overrides, dialectOf(row.merchantDialect)),
        hasOwnSchedule: overrides.retryScheduleSeconds !== null,
        acknowledgement: acknowledgementOf(row),
        secrets: [],
        // The rows come in the order in which the secrets end.
        liveForMs: row.secretLiveForMs,
      };
      targets.set(id, target);
    }
    if (row.secretId !== null && row.secretSealed !== null) {
      target.secrets.push({
        id: row.secretId,
        sealed: row.secretSealed,
        publicKey: row.secretPublicKey,
        expiresAt: row.secretExpiresAt,
      });
    }
  }
  return targets;
}

interface SubscriptionRow extends OverrideColumns {
  readonly merchantId: string;
  readonly configVersion: bigint;
  readonly merchantDialect: string;
  readonly endpointId: string | null;
  readonly events: readonly string[];
  readonly filter: unknown;
}

/**
 * Who of these merchants' endpoints gets what, with the version that it is true for: both are read by one statement,
 * so the one is never newer than the other. In: merchant ids. Out: active merchants; others are absent.
 */
export async function loadSubscriptions(
  db: Statements,
  merchantIds: readonly string[],
): Promise<Map<string, MerchantSubscriptions>> {
  const rows = await db.$queryRaw<SubscriptionRow[]>`
    SELECT m.id AS "merchantId", m.config_version AS "configVersion", m.dialect AS "merchantDialect",
           e.id AS "endpointId", e.events, e.filter, e.dialect, e.payload_format AS "payloadFormat",
           NULL::jsonb AS signatures, NULL::jsonb AS "retryScheduleSeconds"
    FROM merchants m
    LEFT JOIN endpoints e ON e.merchant_id = m.id AND e.deleted_at IS NULL AND e.status <> 'disabled'
    WHERE m.id = ANY (${[...merchantIds]}::uuid[]) AND m.status = 'active'
    ORDER BY m.id, e.id`;
  const merchants = new Map<string, { configVersion: bigint; endpoints: SubscribedEndpoint[] }>();
  for (const row of rows) {
    let merchant = merchants.get(row.merchantId);
    if (merchant === undefined) {
      merchant = { configVersion: row.configVersion, endpoints: [] };
      merchants.set(row.merchantId, merchant);
    }
    if (row.endpointId !== null) {
      const { payloadFormat } = effectiveEndpoint(overridesOf(row), dialectOf(row.merchantDialect));
      const conditions = filterOf(row);
      const filter = conditions && payloadFilter(conditions);
      merchant.endpoints.push({ id: row.endpointId, events: row.events, filter, payloadFormat });
    }
  }
  return merchants;
}
