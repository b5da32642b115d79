import type { Room } from '#pipeline/rooms.js';
import { Prisma } from './generated/client.js';

/**
 * The room that is left for what `id` names, as SQL; `ofOthers` for what is not listed. Looked up in one document: a list
 * to join with would be read as a whole for each row, as no planner knows how long it is.
 *
 * @param id an expression for a uuid, evaluated once a row
 */
export function roomLeft(rooms: readonly Room[], ofOthers: number, id: Prisma.Sql): Prisma.Sql {
  const byId = JSON.stringify(Object.fromEntries(rooms.map(({ id: listed, room }) => [listed, room])));
  return Prisma.sql`coalesce((${byId}::jsonb ->> ${id}::text)::int, ${ofOthers}::int)`;
}
