import type { EventTypeCatalogue, EventTypeEntry } from '#pipeline/event-types.js';
import type { Statements } from './database.js';

interface Row {
  readonly catalogueVersion: bigint;
  readonly name: string | null;
  readonly version: bigint;
  readonly isArchived: boolean;
  readonly hasSchema: boolean;
  readonly redact: readonly string[];
}

/** The catalogue without its schemas, and its version: both are read by one statement, so neither is newer than the other. */
export async function loadEventTypes(db: Statements): Promise<EventTypeCatalogue> {
  const rows = await db.$queryRaw<Row[]>`
    SELECT c.version AS "catalogueVersion", t.name, t.version, t.archived_at IS NOT NULL AS "isArchived",
           t.schema IS NOT NULL AS "hasSchema", t.redact
    FROM event_type_catalogue c
    LEFT JOIN event_types t ON true`;
  const [first] = rows;
  if (first === undefined) throw new Error('the catalogue of event types has no version');
  const types = new Map<string, EventTypeEntry>();
  for (const { name, version, isArchived, hasSchema, redact } of rows) {
    if (name !== null) types.set(name, { version, isArchived, hasSchema, redact });
  }
  return { version: first.catalogueVersion, types };
}

/** Null when the type has another version by now, or no schema. */
export async function loadEventTypeSchema(
  db: Statements,
  name: string,
  version: bigint,
): Promise<Uint8Array | null> {
  const [row] = await db.$queryRaw<{ schema: Uint8Array | null }[]>`
    SELECT schema FROM event_types WHERE name = ${name} AND version = ${version}`;
  return row?.schema ?? null;
}

export async function loadCatalogueVersion(db: Statements): Promise<bigint> {
  const [row] = await db.$queryRaw<{ version: bigint }[]>`SELECT version FROM event_type_catalogue`;
  if (row === undefined) throw new Error('the catalogue of event types has no version');
  return row.version;
}
