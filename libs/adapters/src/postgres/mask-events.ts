import { uuidCeil, uuidFloor, uuidTimeMs } from '#domain/ids.js';
import { maskJson } from '#domain/redaction.js';
import type { Database, Statements } from './database.js';
import { byDay, idRange } from './id-range.js';

/** Events looked at in one transaction: some ten milliseconds of locks that only a retry by hand would wait for. */
export const REDACTION_BATCH_MAX = 200;
/** Most deliveries have succeeded by then. */
export const FIRST_REDACTION_LOOK_MS = 2_000;
/** An event that is not done is looked at again when it is half as old again, within these bounds. */
const NEXT_LOOK_SECONDS_MIN = 2;
const NEXT_LOOK_SECONDS_MAX = 6 * 3_600;
/** How long a delivery that failed can still be retried with the data that it had. */
const FAILED_KEEP_DAYS = 7;
/** Events of one batch that are read into memory; the largest one still fits. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;

interface State {
  readonly eventId: string;
  /** 0: gone, or erased already. */
  readonly dataBytes: number;
  readonly isOpen: boolean;
  readonly hasFailed: boolean;
  readonly hasFailedLongAgo: boolean;
}

/**
 * Masks the stored bytes of events whose deliveries are done: once all have succeeded or been cancelled, else
 * {@link FAILED_KEEP_DAYS} after the last became final. Masked bytes never meet an open delivery: the event's row is
 * locked before its deliveries are looked at, and whoever opens one again holds the same row until it has committed.
 *
 * in:  how many events at most
 * out: how many were looked at, and how many of them masked
 */
export function maskEvents(
  db: Database,
  limit: number,
): Promise<{ readonly looked: number; readonly masked: number }> {
  return db.$transaction(async (tx) => {
    const due = await tx.$queryRaw<{ eventId: string }[]>`
      SELECT event_id AS "eventId" FROM event_redactions
      WHERE due_at <= now() ORDER BY due_at LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    let masked = 0;
    for (const day of byDay(due, ({ eventId }) => eventId)) {
      const eventIds = day.map(({ eventId }) => eventId);
      const states = await statesOf(tx, eventIds);
      masked += await maskDone(tx, states.filter(isDone));
      await lookAgainLater(tx, eventIds);
    }
    return { looked: due.length, masked };
  });
}

function isDone({ isOpen, hasFailed, hasFailedLongAgo }: State): boolean {
  return !isOpen && (!hasFailed || hasFailedLongAgo);
}

/** @param eventIds of one day, and so of one partition */
function statesOf(tx: Statements, eventIds: readonly string[]): Promise<State[]> {
  const { low, high } = idRange(eventIds);
  const times = eventIds.map(uuidTimeMs);
  return tx.$queryRaw<State[]>`
    SELECT w.event_id AS "eventId", coalesce(e.data_bytes, 0) AS "dataBytes", coalesce(d.is_open, false) AS "isOpen",
           coalesce(d.has_failed, false) AS "hasFailed",
           coalesce(d.completed_at <= now() - ${FAILED_KEEP_DAYS} * interval '1 day', false) AS "hasFailedLongAgo"
    FROM unnest(${eventIds}::uuid[], ${times.map(uuidFloor)}::uuid[], ${times.map(uuidCeil)}::uuid[])
         AS w (event_id, low, high)
    LEFT JOIN LATERAL (
      SELECT octet_length(data) AS data_bytes FROM events
      WHERE id = w.event_id AND id BETWEEN ${low}::uuid AND ${high}::uuid
    ) AS e ON true
    CROSS JOIN LATERAL (
      -- A delivery that is final may be open once more, for a retry by hand.
      SELECT bool_or(status IN ('pending', 'retrying')
                     OR EXISTS (SELECT FROM open_deliveries o WHERE o.delivery_id = deliveries.id)) AS is_open,
             bool_or(status = 'failed') AS has_failed, max(completed_at) AS completed_at
      FROM deliveries
      WHERE event_id = w.event_id AND id BETWEEN w.low AND w.high AND id BETWEEN ${low}::uuid AND ${high}::uuid
    ) AS d`;
}

/** What is done is looked at once more under the lock, by a statement of its own and so in a snapshot after it. */
async function maskDone(tx: Statements, done: readonly State[]): Promise<number> {
  const chosen = withinBytes(done).map(({ eventId }) => eventId);
  if (chosen.length === 0) return 0;
  const { low, high } = idRange(chosen);
  const locked = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM events WHERE id = ANY (${chosen}::uuid[]) AND id BETWEEN ${low}::uuid AND ${high}::uuid
    ORDER BY id FOR UPDATE SKIP LOCKED`;
  const held = new Set(locked.map(({ id }) => id));
  const gone = done.filter(({ dataBytes }) => dataBytes === 0).map(({ eventId }) => eventId);
  const still = held.size === 0 ? [] : (await statesOf(tx, [...held])).filter(isDone);
  const eventIds = still.map(({ eventId }) => eventId);
  const rows = eventIds.length === 0 ? [] : await readData(tx, eventIds);
  const masked = rows.map(({ id, data, pointers }) => ({ id, data: maskJson(data, pointers) }));
  if (masked.length > 0) {
    await tx.$executeRaw`
      UPDATE events e SET data = v.data, redacted_at = now()
      FROM unnest(${masked.map(({ id }) => id)}::uuid[], ${masked.map(({ data }) => data)}::bytea[]) AS v (id, data)
      WHERE e.id = v.id AND e.id BETWEEN ${low}::uuid AND ${high}::uuid`;
  }
  await tx.$executeRaw`
    DELETE FROM event_redactions WHERE event_id = ANY (${[...eventIds, ...gone]}::uuid[])`;
  return masked.length;
}

/** The first of them that fit into a batch, at least one. */
function withinBytes(states: readonly State[]): readonly State[] {
  let bytes = 0;
  return states.filter(({ dataBytes }) => (bytes += dataBytes) <= BATCH_BYTES_MAX || bytes === dataBytes);
}

/** The pointers that stood when the event was accepted, and those that its type has by now. */
function readData(
  tx: Statements,
  eventIds: readonly string[],
): Promise<{ readonly id: string; readonly data: Uint8Array; readonly pointers: readonly string[] }[]> {
  const { low, high } = idRange(eventIds);
  return tx.$queryRaw`
    SELECT e.id, e.data, r.pointers || coalesce(t.redact, '{}') AS pointers
    FROM events e
    JOIN event_redactions r ON r.event_id = e.id
    LEFT JOIN event_types t ON t.name = e.type
    WHERE e.id = ANY (${eventIds}::uuid[]) AND e.id BETWEEN ${low}::uuid AND ${high}::uuid AND e.data IS NOT NULL`;
}

/** Those of the events that are still to be masked. */
async function lookAgainLater(tx: Statements, eventIds: readonly string[]): Promise<void> {
  await tx.$executeRaw`
    UPDATE event_redactions r
    SET due_at = now() + least(greatest((extract(epoch FROM now()) - v.event_ms / 1000) / 2, ${NEXT_LOOK_SECONDS_MIN}),
                               ${NEXT_LOOK_SECONDS_MAX}) * interval '1 second'
    FROM unnest(${eventIds}::uuid[], ${eventIds.map(uuidTimeMs)}::float8[]) AS v (event_id, event_ms)
    WHERE r.event_id = v.event_id`;
}
