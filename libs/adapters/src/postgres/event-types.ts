import type { Database, Statements } from './database.js';
import type { PageRequest } from './delivery-log-page.js';
import { Prisma } from './generated/client.js';
import type { OnChange } from './write-audit.js';

/** Every process holds all of them, but for the schemas. */
export const EVENT_TYPES_MAX = 1_000;

/** What an operator says of an event type. Schema and example are JSON text as it came. */
export interface EventTypeDefinition {
  readonly description: string | null;
  readonly schema: Uint8Array<ArrayBuffer> | null;
  readonly example: Uint8Array<ArrayBuffer> | null;
  /** JSON Pointers. */
  readonly redact: readonly string[];
  readonly retryScheduleSeconds: readonly number[] | null;
}

export interface EventTypeRecord extends EventTypeDefinition {
  readonly id: string;
  readonly name: string;
  readonly archivedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const COLUMNS = Prisma.sql`
  id, name, description, schema, example, redact, retry_schedule_seconds AS "retryScheduleSeconds",
  archived_at AS "archivedAt", created_at AS "createdAt", updated_at AS "updatedAt"`;

export type EventTypePut =
  { readonly kind: 'put'; readonly eventType: EventTypeRecord } | { readonly kind: 'too_many_types' };

/**
 * Makes an event type or replaces it whole; an archived one is in use again. Changes of the catalogue follow each other.
 *
 * @param id of a new one, UUID
 * @param judge is given the type as it stands, archived or not, and null when it is new; what it throws undoes everything
 * @param onChange is given the same, and the type as it is now
 */
export function putEventType(
  db: Database,
  name: string,
  id: string,
  definition: EventTypeDefinition,
  judge: (current: EventTypeRecord | null) => void,
  onChange: OnChange<EventTypeRecord | null>,
): Promise<EventTypePut> {
  const { description, schema, example, redact, retryScheduleSeconds } = definition;
  return db.$transaction(async (tx) => {
    const version = await raiseVersion(tx);
    const current = await findEventType(tx, name);
    judge(current);
    if (current === null && (await tx.eventType.count()) >= EVENT_TYPES_MAX)
      return { kind: 'too_many_types' };
    const [eventType] = await tx.$queryRaw<EventTypeRecord[]>`
      INSERT INTO event_types AS t (id, name, version, description, schema, example, redact, retry_schedule_seconds)
      VALUES (${id}::uuid, ${name}, ${version}, ${description}, ${schema}, ${example}, ${[...redact]}::text[],
              ${retryScheduleSeconds && [...retryScheduleSeconds]}::int[])
      ON CONFLICT (name) DO UPDATE
      SET version = excluded.version, description = excluded.description, schema = excluded.schema,
          example = excluded.example, redact = excluded.redact,
          retry_schedule_seconds = excluded.retry_schedule_seconds, archived_at = NULL, updated_at = now()
      RETURNING ${COLUMNS}`;
    if (eventType === undefined) throw new Error('an event type was put and is not there');
    await onChange(tx, current, eventType);
    return { kind: 'put', eventType };
  });
}

/** From now on its events are refused, on every process. Repeatable. @returns false when there is no such type */
export function archiveEventType(
  db: Database,
  name: string,
  onChange: OnChange<EventTypeRecord | null>,
): Promise<boolean> {
  return db.$transaction(async (tx) => {
    const current = await findEventType(tx, name);
    if (current === null) return false;
    if (current.archivedAt !== null) return true;
    const version = await raiseVersion(tx);
    await tx.$executeRaw`
      UPDATE event_types SET version = ${version}, archived_at = now(), updated_at = now()
      WHERE name = ${name} AND archived_at IS NULL`;
    await onChange(tx, current, await findEventType(tx, name));
    return true;
  });
}

export async function findEventType(db: Statements, name: string): Promise<EventTypeRecord | null> {
  const [found] = await db.$queryRaw<EventTypeRecord[]>`
    SELECT ${COLUMNS} FROM event_types WHERE name = ${name}`;
  return found ?? null;
}

/** Newest first. */
export function listEventTypes(
  db: Statements,
  includeArchived: boolean,
  page: PageRequest,
): Promise<EventTypeRecord[]> {
  const conditions = [
    Prisma.sql`true`,
    ...(includeArchived ? [] : [Prisma.sql`archived_at IS NULL`]),
    ...(page.beforeId === null ? [] : [Prisma.sql`id < ${page.beforeId}::uuid`]),
  ];
  return db.$queryRaw<EventTypeRecord[]>`
    SELECT ${COLUMNS} FROM event_types WHERE ${Prisma.join(conditions, ' AND ')}
    ORDER BY id DESC LIMIT ${page.rowsMax}`;
}

/** Locks the catalogue until the transaction ends; accept, which only reads the version, does not wait for it. */
async function raiseVersion(tx: Statements): Promise<bigint> {
  const [row] = await tx.$queryRaw<{ version: bigint }[]>`
    UPDATE event_type_catalogue SET version = version + 1 RETURNING version`;
  if (row === undefined) throw new Error('the catalogue of event types has no version');
  return row.version;
}
