import type { IdempotencyKey, StoredEvent, StoredIdempotencyKey } from '#pipeline/accept-store.js';
import type { Statements } from './database.js';
import { idRange } from './id-range.js';

/** The live rows of these keys. Rows that have expired are removed, so that their keys can be taken anew. */
export async function findIdempotencyKeys(
  db: Statements,
  keys: readonly IdempotencyKey[],
): Promise<StoredIdempotencyKey[]> {
  const wanted = [
    keys.map(({ kind }) => kind),
    keys.map(({ key }) => key),
    keys.map(({ merchantId }) => merchantId),
  ] as const;
  await db.$executeRaw`
    DELETE FROM idempotency_keys k
    USING unnest(${wanted[0]}::text[], ${wanted[1]}::text[], ${wanted[2]}::uuid[]) AS wanted (kind, key, merchant_id)
    WHERE k.kind = wanted.kind AND k.key = wanted.key AND k.merchant_id = wanted.merchant_id AND k.expires_at <= now()`;
  return db.$queryRaw<StoredIdempotencyKey[]>`
    SELECT k.kind, k.key, k.merchant_id AS "merchantId", k.content_hash AS "contentHash", k.event_ids AS "eventIds"
    FROM unnest(${wanted[0]}::text[], ${wanted[1]}::text[], ${wanted[2]}::uuid[]) AS wanted (kind, key, merchant_id)
    JOIN idempotency_keys k USING (kind, key, merchant_id)`;
}

interface EventRow {
  id: string;
  merchant_id: string;
  type: string;
  created_at: Date;
  producer_id: string | null;
  delivery_count: number;
}

/** What an answer says of events that were accepted before. */
export async function findEvents(db: Statements, eventIds: readonly string[]): Promise<StoredEvent[]> {
  if (eventIds.length === 0) return [];
  const { low, high } = idRange(eventIds);
  const rows = await db.$queryRaw<EventRow[]>`
    SELECT id, merchant_id, type, created_at, producer_id, delivery_count
    FROM events
    WHERE id = ANY (${eventIds}::uuid[]) AND id BETWEEN ${low}::uuid AND ${high}::uuid`;
  return rows.map((row) => ({
    id: row.id,
    merchantId: row.merchant_id,
    type: row.type,
    createdAtMs: row.created_at.getTime(),
    producerId: row.producer_id,
    deliveryCount: row.delivery_count,
  }));
}
