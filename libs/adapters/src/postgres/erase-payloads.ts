import { uuidCeil, uuidFloor, uuidTimeMs } from '#domain/ids.js';
import type { Database, Statements } from './database.js';
import { withDeadlockRetry } from './deadlock.js';
import { byDay, idRange } from './id-range.js';

interface EventRow {
  readonly id: string;
}

/** The merchants that keep payloads for a shorter time than the log. */
export async function findPayloadRetentions(
  db: Statements,
): Promise<{ readonly merchantId: string; readonly days: number }[]> {
  return db.$queryRaw`
    SELECT id AS "merchantId", payload_retention_days AS days FROM merchants
    WHERE payload_retention_days IS NOT NULL AND status = 'active' ORDER BY id`;
}

/**
 * Erases the bytes of a merchant's events that were accepted before `beforeMs`, and what receivers answered to them,
 * while `mayGoOn` says so. Each event is passed once, in the order of their ids; one that has a delivery that is not final,
 * or has been so for a moment only, is put aside and looked at again by the next run. Any number of workers may call it.
 *
 * @returns how many events lost their bytes
 */
export async function erasePayloads(
  db: Database,
  { merchantId, beforeMs }: { readonly merchantId: string; readonly beforeMs: number },
  mayGoOn: () => boolean,
): Promise<number> {
  let erased = 0;
  for (let heldAfter: string | null = uuidFloor(0); heldAfter !== null && mayGoOn();) {
    const after: string = heldAfter;
    const batch = await withDeadlockRetry(() => eraseHeld(db, merchantId, after));
    erased += batch.erased;
    heldAfter = batch.last;
  }
  for (let isMore = true; isMore && mayGoOn();) {
    const batch = await withDeadlockRetry(() => eraseNext(db, merchantId, beforeMs));
    erased += batch.erased;
    isMore = batch.last !== null;
  }
  return erased;
}

interface Batch {
  readonly erased: number;
  /** The last event that was looked at; null: there was none. */
  readonly last: string | null;
}

const NOTHING: Batch = { erased: 0, last: null };

/** Those that a run before this one had put aside. */
function eraseHeld(db: Database, merchantId: string, after: string): Promise<Batch> {
  return db.$transaction(async (tx) => {
    const held = await tx.$queryRaw<EventRow[]>`
      SELECT event_id AS id FROM held_payloads WHERE merchant_id = ${merchantId}::uuid AND event_id > ${after}::uuid
      ORDER BY event_id LIMIT ${HELD_PER_BATCH_MAX} FOR UPDATE SKIP LOCKED`;
    const last = held.at(-1);
    if (last === undefined) return NOTHING;
    const { erased, open } = await eraseClosed(tx, held);
    const done = held.map(({ id }) => id).filter((id) => !open.has(id));
    await tx.$executeRaw`DELETE FROM held_payloads WHERE event_id = ANY (${done}::uuid[])`;
    return { erased, last: last.id };
  }, TRANSACTION);
}

/** The next ones that have become old enough. */
function eraseNext(db: Database, merchantId: string, beforeMs: number): Promise<Batch> {
  return db.$transaction(async (tx) => {
    await tx.$executeRaw`
      INSERT INTO payload_sweeps (merchant_id, swept_to)
      SELECT id, ${uuidFloor(0)}::uuid FROM merchants WHERE id = ${merchantId}::uuid AND status = 'active'
      ON CONFLICT (merchant_id) DO NOTHING`;
    const [sweep] = await tx.$queryRaw<{ sweptTo: string }[]>`
      SELECT swept_to AS "sweptTo" FROM payload_sweeps WHERE merchant_id = ${merchantId}::uuid FOR UPDATE SKIP LOCKED`;
    if (sweep === undefined) return NOTHING;
    const events = await tx.$queryRaw<EventRow[]>`
      SELECT id
      FROM (SELECT id, sum(delivery_count) OVER (ORDER BY id) - delivery_count AS deliveries_before
            FROM (SELECT id, delivery_count FROM events
                  WHERE merchant_id = ${merchantId}::uuid AND id > ${sweep.sweptTo}::uuid
                    AND id < ${uuidFloor(beforeMs)}::uuid
                  ORDER BY id LIMIT ${EVENTS_PER_BATCH_MAX}) AS next) AS counted
      WHERE deliveries_before < ${DELIVERIES_PER_BATCH_MAX}
      ORDER BY id`;
    const last = events.at(-1);
    if (last === undefined) return NOTHING;
    const { erased, open } = await eraseClosed(tx, events);
    await tx.$executeRaw`
      INSERT INTO held_payloads (event_id, merchant_id)
      SELECT id, ${merchantId}::uuid FROM unnest(${[...open]}::uuid[]) AS held (id) ON CONFLICT DO NOTHING`;
    await tx.$executeRaw`
      UPDATE payload_sweeps SET swept_to = ${last.id}::uuid WHERE merchant_id = ${merchantId}::uuid`;
    return { erased, last: last.id };
  }, TRANSACTION);
}

/** Erases those of the events that have no open delivery, and says which have. */
async function eraseClosed(
  tx: Statements,
  events: readonly EventRow[],
): Promise<{ readonly erased: number; readonly open: ReadonlySet<string> }> {
  const open = new Set<string>();
  let erased = 0;
  for (const day of byDay(events, ({ id }) => id)) {
    const ids = day.map(({ id }) => id);
    const { low, high } = idRange(ids);
    const deliveries = await deliveriesOf(tx, ids);
    for (const { eventId, isFinal } of deliveries) if (!isFinal) open.add(eventId);
    const closed = ids.filter((id) => !open.has(id));
    const deliveryIds = deliveries.filter(({ eventId }) => !open.has(eventId)).map(({ id }) => id);
    erased += await tx.$executeRaw`
      UPDATE events SET data = NULL
      WHERE id = ANY (${closed}::uuid[]) AND id BETWEEN ${low}::uuid AND ${high}::uuid AND data IS NOT NULL`;
    // What receivers answer often repeats what they were sent. An attempt is made after its event.
    await tx.$executeRaw`
      UPDATE attempts SET response_body = NULL
      WHERE delivery_id = ANY (${deliveryIds}::uuid[]) AND id >= ${low}::uuid AND response_body IS NOT NULL`;
  }
  return { erased, open };
}

interface DeliveryRow {
  readonly id: string;
  readonly eventId: string;
  readonly isFinal: boolean;
}

/** A delivery's id carries its event's millisecond: those of some events are a few ranges of ids. */
function deliveriesOf(tx: Statements, eventIds: readonly string[]): Promise<DeliveryRow[]> {
  const { low, high } = idRange(eventIds);
  const moments = [...new Set(eventIds.map(uuidTimeMs))];
  return tx.$queryRaw<DeliveryRow[]>`
    SELECT d.id, d.event_id AS "eventId",
           d.completed_at < now() - ${SETTLED_FOR_SECONDS} * interval '1 second'
             AND NOT EXISTS (SELECT FROM open_deliveries o WHERE o.delivery_id = d.id) AS "isFinal"
    FROM unnest(${moments.map(uuidFloor)}::uuid[], ${moments.map(uuidCeil)}::uuid[]) AS moment (floor, ceil)
    JOIN deliveries d ON d.id BETWEEN moment.floor AND moment.ceil
    WHERE d.event_id = ANY (${[...eventIds]}::uuid[]) AND d.id BETWEEN ${low}::uuid AND ${high}::uuid`;
}

/** A result that comes after its lease has ended, or after a database that was away, is logged within this. */
const SETTLED_FOR_SECONDS = 120;
const EVENTS_PER_BATCH_MAX = 500;
/** Each may go to as many endpoints as a merchant can have. */
const HELD_PER_BATCH_MAX = 50;
/** Each has a few attempts with up to 16 KiB each: this bounds what one transaction writes. */
const DELIVERIES_PER_BATCH_MAX = 1_000;
const TRANSACTION = { timeout: 15_000 } as const;
