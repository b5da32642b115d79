import type { Dialect, DialectParts } from '#domain/dialects.js';
import type { MerchantSubscriptions, SubscribedEndpoint } from '#pipeline/accept-store.js';
import type { Statements } from './database.js';
import { dialectOf, effectiveEndpoint, type OverrideColumns, overridesOf } from './endpoints-record.js';

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
  /** Those that are live by the database's clock, oldest first. */
  readonly secrets: readonly SealedSecret[];
}

export interface SealedSecret {
  readonly id: string;
  readonly sealed: Uint8Array;
  /** Null: the current one. */
  readonly expiresAt: Date | null;
}

interface TargetRow extends OverrideColumns {
  readonly id: string;
  readonly merchantId: string;
  readonly merchantDialect: string;
  readonly version: bigint;
  readonly url: string;
  readonly timeoutMs: number;
  readonly headersSealed: Uint8Array | null;
  readonly secretId: string | null;
  readonly secretSealed: Uint8Array | null;
  readonly secretExpiresAt: Date | null;
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
           e.timeout_ms AS "timeoutMs", e.headers_sealed AS "headersSealed", e.dialect,
           e.payload_format AS "payloadFormat", e.signatures, e.retry_schedule_seconds AS "retryScheduleSeconds",
           s.id AS "secretId", s.sealed AS "secretSealed", s.expires_at AS "secretExpiresAt"
    FROM endpoints e
    JOIN merchants m ON m.id = e.merchant_id
    LEFT JOIN endpoint_secrets s ON s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > now())
    WHERE e.id = ANY (${[...endpointIds]}::uuid[]) AND e.deleted_at IS NULL
    ORDER BY e.id, s.id`;
  const targets = new Map<string, EndpointTarget & { readonly secrets: SealedSecret[] }>();
  for (const row of rows) {
    let target = targets.get(row.id);
    if (target === undefined) {
      const { id, merchantId, version, url, timeoutMs, headersSealed } = row;
      const overrides = overridesOf(row);
      const hasOwnSchedule = overrides.retryScheduleSeconds !== null;
      const effective = effectiveEndpoint(overrides, dialectOf(row.merchantDialect));
      target = {
        id,
        merchantId,
        version,
        url,
        timeoutMs,
        hasOwnSchedule,
        headersSealed,
        ...effective,
        secrets: [],
      };
      targets.set(id, target);
    }
    if (row.secretId !== null && row.secretSealed !== null) {
      target.secrets.push({ id: row.secretId, sealed: row.secretSealed, expiresAt: row.secretExpiresAt });
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
           e.id AS "endpointId", e.events, e.dialect, e.payload_format AS "payloadFormat",
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
      merchant.endpoints.push({ id: row.endpointId, events: row.events, payloadFormat });
    }
  }
  return merchants;
}
