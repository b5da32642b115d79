import { uuidFloor, uuidTimeMs } from '#domain/ids.js';
import type { Statements } from './database.js';
import { CLOCK_SLACK_MS } from './delivery-log.js';
import { eraseAuditPayloads } from './erase-audit-payloads.js';
import { byDay, DAY_MS, idRange } from './id-range.js';
import { oldestDay } from './partitions.js';

/** Removes or blanks at most about `limit` rows of a merchant; 0: there are none left. */
export interface ErasureStep {
  readonly name: string;
  run(tx: Statements, merchantId: string, limit: number): Promise<number>;
}

/**
 * What a merchant's erasure consists of, in order: what refers to a thing goes before the thing. A new table that has
 * anything of a merchant in it gets a step here, and a test over the catalog fails until it has.
 */
export const ERASURE_STEPS: readonly ErasureStep[] = [
  { name: 'open deliveries', run: removeOpen },
  { name: 'deliveries and attempts', run: removeDeliveries },
  { name: 'attempts of deliveries that are gone', run: removeOrphanAttempts },
  { name: 'events', run: removeEvents },
  { name: 'idempotency keys', run: removeHeaderKeys },
  { name: 'statistics', run: removeStats },
  { name: 'payload retention', run: removePayloadSweep },
  { name: 'notices', run: removeNotices },
  { name: 'endpoints', run: removeEndpoints },
  { name: 'API keys', run: removeApiKeys },
  { name: 'what the audit log says', run: eraseAuditPayloads },
];

function removeOpen(tx: Statements, merchantId: string, limit: number): Promise<number> {
  return tx.$executeRaw`
    DELETE FROM open_deliveries
    WHERE delivery_id IN (SELECT delivery_id FROM open_deliveries WHERE merchant_id = ${merchantId}::uuid
                          ORDER BY delivery_id LIMIT ${limit} FOR UPDATE)`;
}

/** Attempts have no index by merchant, so they go with their deliveries, and before them. */
async function removeDeliveries(tx: Statements, merchantId: string, limit: number): Promise<number> {
  const deliveries = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM deliveries WHERE merchant_id = ${merchantId}::uuid ORDER BY id LIMIT ${limit}`;
  let removed = 0;
  for (const day of byDay(deliveries, ({ id }) => id)) {
    const ids = day.map(({ id }) => id);
    const { low, high } = idRange(ids);
    const since = uuidFloor(Math.max(0, uuidTimeMs(low) - CLOCK_SLACK_MS));
    const attempts = await tx.$executeRaw`
      DELETE FROM attempts
      WHERE id IN (SELECT id FROM attempts
                   WHERE delivery_id = ANY (${ids}::uuid[]) AND id >= ${since}::uuid LIMIT ${limit})
        AND id >= ${since}::uuid`;
    removed += attempts;
    if (attempts === limit) return removed;
    removed += await tx.$executeRaw`
      DELETE FROM deliveries WHERE id = ANY (${ids}::uuid[]) AND id BETWEEN ${low}::uuid AND ${high}::uuid`;
  }
  return removed;
}

/** A partition of attempts outlives that of their deliveries when they were made on a later day. */
async function removeOrphanAttempts(tx: Statements, merchantId: string, limit: number): Promise<number> {
  const oldest = await oldestDay(tx, 'deliveries');
  if (oldest === null) return 0;
  return tx.$executeRaw`
    DELETE FROM attempts
    WHERE id IN (SELECT id FROM attempts
                 WHERE delivery_id < ${uuidFloor(oldest * DAY_MS)}::uuid AND merchant_id = ${merchantId}::uuid
                 LIMIT ${limit})`;
}

/** An event's own id is remembered as long as the event. */
async function removeEvents(tx: Statements, merchantId: string, limit: number): Promise<number> {
  const events = await tx.$queryRaw<{ id: string; producerId: string | null }[]>`
    SELECT id, producer_id AS "producerId" FROM events WHERE merchant_id = ${merchantId}::uuid ORDER BY id LIMIT ${limit}`;
  const keys = events.flatMap(({ producerId }) => (producerId === null ? [] : [producerId]));
  let removed = await tx.$executeRaw`
    DELETE FROM idempotency_keys
    WHERE kind = 'event' AND key = ANY (${keys}::text[]) AND merchant_id = ${merchantId}::uuid`;
  for (const day of byDay(events, ({ id }) => id)) {
    const ids = day.map(({ id }) => id);
    const { low, high } = idRange(ids);
    removed += await tx.$executeRaw`
      DELETE FROM events WHERE id = ANY (${ids}::uuid[]) AND id BETWEEN ${low}::uuid AND ${high}::uuid`;
  }
  return removed;
}

/** Of one day, and so few enough to be looked through by their key. */
function removeHeaderKeys(tx: Statements, merchantId: string, limit: number): Promise<number> {
  return tx.$executeRaw`
    DELETE FROM idempotency_keys
    WHERE kind = 'header' AND merchant_id = ${merchantId}::uuid
      AND key IN (SELECT key FROM idempotency_keys
                  WHERE kind = 'header' AND merchant_id = ${merchantId}::uuid LIMIT ${limit})`;
}

async function removeStats(tx: Statements, merchantId: string, limit: number): Promise<number> {
  const removed = await tx.$executeRaw`
    DELETE FROM delivery_stats
    WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM endpoints e JOIN delivery_stats s ON s.endpoint_id = e.id
                            WHERE e.merchant_id = ${merchantId}::uuid LIMIT ${limit}))`;
  const packed = await tx.$executeRaw`
    DELETE FROM delivery_stats_packed
    WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM endpoints e JOIN delivery_stats_packed s ON s.endpoint_id = e.id
                            WHERE e.merchant_id = ${merchantId}::uuid LIMIT ${limit}))`;
  return removed + packed;
}

async function removePayloadSweep(tx: Statements, merchantId: string, limit: number): Promise<number> {
  const held = await tx.$executeRaw`
    DELETE FROM held_payloads
    WHERE event_id IN (SELECT event_id FROM held_payloads WHERE merchant_id = ${merchantId}::uuid LIMIT ${limit})`;
  return held + (await tx.$executeRaw`DELETE FROM payload_sweeps WHERE merchant_id = ${merchantId}::uuid`);
}

function removeNotices(tx: Statements, merchantId: string, limit: number): Promise<number> {
  return tx.$executeRaw`
    DELETE FROM notices
    WHERE position IN (SELECT position FROM notices WHERE merchant_id = ${merchantId}::uuid LIMIT ${limit})`;
}

/** An endpoint with all that hangs on it; deleted ones too, whose log is gone by now. */
async function removeEndpoints(tx: Statements, merchantId: string, limit: number): Promise<number> {
  const endpoints = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM endpoints WHERE merchant_id = ${merchantId}::uuid ORDER BY id LIMIT ${limit}`;
  const ids = endpoints.map(({ id }) => id);
  let removed = 0;
  removed += await tx.$executeRaw`DELETE FROM recoveries WHERE endpoint_id = ANY (${ids}::uuid[])`;
  removed += await tx.$executeRaw`DELETE FROM endpoint_secrets WHERE endpoint_id = ANY (${ids}::uuid[])`;
  removed += await tx.$executeRaw`DELETE FROM endpoint_sequences WHERE endpoint_id = ANY (${ids}::uuid[])`;
  removed += await tx.$executeRaw`DELETE FROM endpoint_gates WHERE endpoint_id = ANY (${ids}::uuid[])`;
  removed += await tx.$executeRaw`DELETE FROM endpoints WHERE id = ANY (${ids}::uuid[])`;
  return removed;
}

function removeApiKeys(tx: Statements, merchantId: string, limit: number): Promise<number> {
  return tx.$executeRaw`
    DELETE FROM api_keys
    WHERE id IN (SELECT id FROM api_keys WHERE merchant_id = ${merchantId}::uuid LIMIT ${limit})`;
}
