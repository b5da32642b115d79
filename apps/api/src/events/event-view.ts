import * as z from 'zod';
import type { EventRecord } from '#adapters/postgres/event-log.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { instant, owner, viewOwner } from '../http/fields.js';
import { utf8, withLastMember } from '../http/json-text.js';

export const eventView = z
  .object({
    id: z.string().meta({ description: "The producer's own id, or the one that was made." }),
    type: z.string(),
    merchant_id: owner,
    created_at: instant,
    ordering_key: z.string().nullable(),
    deliver_at: instant.nullable(),
    deliveries: z.int().meta({ description: 'How many endpoints got it.' }),
    data: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({
        description:
          'The bytes that were sent in, as they came; null once erased. What the `redact` of its type names is shown as ' +
          '"[redacted]".',
      }),
  })
  .meta({ id: 'Event' });

/** The event as JSON text: its data goes in byte for byte, not through a parser and a printer. */
export function eventJson(event: EventRecord): string {
  const rest = {
    id: publicIdOf(event),
    type: event.type,
    merchant_id: viewOwner(event.merchantId),
    created_at: event.createdAt.toISOString(),
    ordering_key: event.orderingKey,
    deliver_at: event.deliverAt?.toISOString() ?? null,
    deliveries: event.deliveryCount,
  };
  return withLastMember(JSON.stringify(rest), 'data', event.data === null ? 'null' : utf8(event.data));
}

/** The id that everybody outside knows an event by. */
export function publicIdOf(event: Pick<EventRecord, 'id' | 'producerId'>): string {
  return event.producerId ?? formatId(ID_PREFIXES.event, event.id);
}
