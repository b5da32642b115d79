import type { AcceptBatch, AcceptWritten } from '#pipeline/accept-store.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { HINT_TTL_MS } from '#pipeline/hint-queue.js';
import { databaseErrorCode, UNIQUE_VIOLATION } from './database-error.js';
import type { Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { FIRST_REDACTION_LOOK_MS } from './mask-events.js';
import { plainArray } from './plain-array.js';

interface Row {
  stale_merchants: string[] | null;
  refused_keys: string[] | null;
  is_catalogue_stale: boolean;
  database_now: Date;
}

/**
 * Writes a batch of accepted events in one statement, which is one transaction: it looks at the merchants' versions, the
 * API keys and the version of the catalogue of event types in the same snapshot that it writes in, and writes nothing when
 * one of them is not as expected.
 *
 * in:  merchants and their versions, API keys, the catalogue's version, idempotency keys, events, deliveries (pointing at
 *      events by position)
 * out: which merchants or API keys were not as expected, whether the catalogue was, and PostgreSQL's time
 */
export async function writeAccepted(
  db: Statements,
  batch: AcceptBatch,
  clock: DatabaseClock,
): Promise<AcceptWritten> {
  const sentMs = clock.localMs();
  let rows: Row[];
  try {
    rows = await withDeadlockRetry(() => statement(db, batch));
  } catch (error) {
    if (batch.idempotencyKeys.length > 0 && databaseErrorCode(error) === UNIQUE_VIOLATION) {
      return { kind: 'key_taken' };
    }
    throw error;
  }
  const [row] = rows;
  if (row === undefined) throw new Error('accept answered nothing');
  clock.learn(row.database_now.getTime(), sentMs, clock.localMs());
  if (row.stale_merchants !== null || row.refused_keys !== null || row.is_catalogue_stale) {
    return {
      kind: 'stale',
      merchantIds: row.stale_merchants ?? [],
      apiKeyIds: row.refused_keys ?? [],
      isCatalogueStale: row.is_catalogue_stale,
    };
  }
  return { kind: 'written' };
}

function statement(
  db: Statements,
  { merchants, catalogueVersion, apiKeyIds, idempotencyKeys, events, deliveries }: AcceptBatch,
) {
  const redactions = events.filter(({ redact }) => redact.length > 0);
  // In key order, so that two processes that take the same keys wait for each other and never in a circle.
  const keys = idempotencyKeys.toSorted((a, b) => compare(a.kind, b.kind) || compare(a.key, b.key));
  return db.$queryRaw<Row[]>`
    WITH stale_merchants AS (
      SELECT expected.id
      FROM unnest(${plainArray(merchants.map(({ id }) => id))}::uuid[],
                  ${plainArray(merchants.map(({ configVersion }) => String(configVersion)))}::bigint[]) AS expected (id, config_version)
      LEFT JOIN merchants m
        ON m.id = expected.id AND m.config_version = expected.config_version AND m.status = 'active'
      WHERE m.id IS NULL
    ), refused_keys AS (
      SELECT expected.id
      FROM unnest(${plainArray(apiKeyIds)}::uuid[]) AS expected (id)
      LEFT JOIN api_keys k
        ON k.id = expected.id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
      WHERE k.id IS NULL
    ), stale_catalogue AS (
      SELECT WHERE NOT EXISTS (SELECT FROM event_type_catalogue WHERE version = ${String(catalogueVersion)}::bigint)
    ), go AS (
      SELECT WHERE NOT EXISTS (SELECT FROM stale_merchants) AND NOT EXISTS (SELECT FROM refused_keys)
               AND NOT EXISTS (SELECT FROM stale_catalogue)
    ), new_keys AS (
      INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, event_ids, expires_at)
      SELECT k.kind, k.key, k.merchant_id, k.content_hash, k.event_ids::uuid[],
             CASE k.kind WHEN 'header' THEN now() + interval '24 hours' END
      FROM go, unnest(${plainArray(keys.map(({ kind }) => kind))}::text[],
                      ${keys.map(({ key }) => key)}::text[],
                      ${plainArray(keys.map(({ merchantId }) => merchantId))}::uuid[],
                      ${keys.map(({ contentHash }) => contentHash)}::bytea[],
                      ${keys.map(({ eventIds }) => `{${eventIds.join(',')}}`)}::text[])
           AS k (kind, key, merchant_id, content_hash, event_ids)
    ), new_events AS (
      SELECT e.*
      FROM go, unnest(${plainArray(events.map(({ id }) => id))}::uuid[],
                      ${plainArray(events.map(({ merchantId }) => merchantId))}::uuid[],
                      ${events.map(({ type }) => type)}::text[],
                      ${events.map(({ data }) => data)}::bytea[],
                      ${plainArray(events.map(({ createdAtMs }) => createdAtMs))}::float8[],
                      ${events.map(({ createdAtText }) => createdAtText)}::text[],
                      ${events.map(({ orderingKey }) => orderingKey)}::text[],
                      ${events.map(({ producerId }) => producerId)}::text[],
                      ${plainArray(events.map(({ deliverAtMs }) => deliverAtMs))}::float8[],
                      ${plainArray(events.map(({ deliveryCount }) => deliveryCount))}::int[]) WITH ORDINALITY
           AS e (id, merchant_id, type, data, created_at_ms, created_at_text, ordering_key, producer_id,
                 deliver_at_ms, delivery_count, position)
    ), written_events AS (
      INSERT INTO events (id, merchant_id, type, data, created_at, created_at_text, ordering_key, producer_id,
                          deliver_at, delivery_count)
      SELECT id, merchant_id, type, data, to_timestamp(created_at_ms / 1000), created_at_text, ordering_key,
             producer_id, to_timestamp(deliver_at_ms / 1000), delivery_count
      FROM new_events
    ), written_redactions AS (
      INSERT INTO event_redactions (event_id, pointers, due_at)
      SELECT r.event_id, ARRAY(SELECT json_array_elements_text(r.pointers)),
             now() + CASE r.delivery_count WHEN 0 THEN 0 ELSE ${FIRST_REDACTION_LOOK_MS} END * interval '1 millisecond'
      FROM go, unnest(${plainArray(redactions.map(({ id }) => id))}::uuid[],
                      ${redactions.map(({ redact }) => JSON.stringify(redact))}::json[],
                      ${plainArray(redactions.map(({ deliveryCount }) => deliveryCount))}::int[])
           AS r (event_id, pointers, delivery_count)
    ), new_deliveries AS (
      SELECT d.id, d.endpoint_id, d.payload_format, d.has_conflict, d.is_hinted, e.id AS event_id, e.merchant_id, e.type,
             e.ordering_key, octet_length(e.data) AS data_bytes,
             greatest(now(), to_timestamp(e.deliver_at_ms / 1000)) AS due_at
      FROM unnest(${plainArray(deliveries.map(({ id }) => id))}::uuid[],
                  ${plainArray(deliveries.map(({ eventIndex }) => eventIndex + 1))}::bigint[],
                  ${plainArray(deliveries.map(({ endpointId }) => endpointId))}::uuid[],
                  ${plainArray(deliveries.map(({ payloadFormat }) => payloadFormat))}::text[],
                  ${plainArray(deliveries.map(({ hasPayloadConflict }) => hasPayloadConflict))}::boolean[],
                  ${plainArray(deliveries.map(({ isHinted }) => isHinted))}::boolean[])
           AS d (id, event_position, endpoint_id, payload_format, has_conflict, is_hinted)
      JOIN new_events e ON e.position = d.event_position
    ), written_deliveries AS (
      INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, payload_format, status, error_code,
                              completed_at)
      SELECT id, event_id, endpoint_id, merchant_id, type, payload_format,
             CASE WHEN has_conflict THEN 'failed' ELSE 'pending' END,
             CASE WHEN has_conflict THEN 'payload_conflict' END,
             CASE WHEN has_conflict THEN now() END
      FROM new_deliveries
    ), written_open AS (
      INSERT INTO open_deliveries (delivery_id, event_id, endpoint_id, merchant_id, due_at, hinted_until, ordering_key,
                                   payload_format, data_bytes)
      SELECT id, event_id, endpoint_id, merchant_id, due_at,
             due_at + CASE WHEN is_hinted THEN ${HINT_TTL_MS} ELSE 0 END * interval '1 millisecond',
             ordering_key, payload_format, data_bytes
      FROM new_deliveries
      WHERE NOT has_conflict
    )
    SELECT (SELECT array_agg(id) FROM stale_merchants) AS stale_merchants,
           (SELECT array_agg(id) FROM refused_keys) AS refused_keys,
           EXISTS (SELECT FROM stale_catalogue) AS is_catalogue_stale,
           clock_timestamp() AS database_now`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
