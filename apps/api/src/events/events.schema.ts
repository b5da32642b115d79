import * as z from 'zod';
import { isEventType } from '#domain/event-type-pattern.js';
import { isOperationalEventType } from '#domain/operational-event.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { parseRfc3339 } from '#domain/timestamps.js';
import type { AcceptedEvent } from '#pipeline/accept.js';
import { formatId } from '#domain/ids.js';
import { idOf, instant, text, timestamp } from '../http/fields.js';
import { pageOf, pageQuery } from '../paging/page.js';
import { eventView } from './event-view.js';

/** A payment's whole record, with room to spare; more belongs behind a URL in the data. */
export const DATA_BYTES_MAX = 262_144;
/** Deeper than any document that people made, and shallow enough for every receiver's parser. */
export const DATA_DEPTH_MAX = 1_000;
/** A batch of this many of the usual size is some hundred kilobytes and one commit. */
export const BATCH_EVENTS_MAX = 500;
/** What the largest batch of ordinary events takes, many times over. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Further ahead, a schedule belongs into the producer's own calendar; partitions must outlive it too. */
const DELIVER_AT_DAYS_MAX = 30;
const ORDERING_KEY_LENGTH_MAX = 128;

/** Also the form of the ids that are made here. */
const EVENT_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;

const data = z
  .custom<object>(() => true)
  .meta({
    type: 'object',
    additionalProperties: true,
    description:
      `Any JSON object of at most ${DATA_BYTES_MAX} bytes, nested at most ${DATA_DEPTH_MAX} deep. ` +
      'Receivers get its bytes exactly as they came.',
    examples: [{ transaction_id: '123456789', amount: '50.00', currency: 'USD' }],
  });

const common = {
  merchant_id: z
    .string()
    .meta({ description: 'Whose endpoints get the event.', examples: ['mrc_01h455vb4pex5vsknk084sn02q'] }),
  type: z
    .string()
    .refine(isEventType, 'must be segments of A–Z a–z 0–9 _ - joined by dots, at most 128 characters')
    .refine(
      (type) => !isOperationalEventType(type),
      "is the type of one of Posthorn's own operational events",
    )
    .meta({ examples: ['payment.success'], maxLength: 128, pattern: '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$' }),
  id: z
    .string()
    .regex(EVENT_ID, 'must be 1 to 128 of A–Z a–z 0–9 _ . : - and begin with a letter or digit')
    .refine((id) => !isOwnForm(id), 'must not have the form of an id that Posthorn makes')
    .optional()
    .meta({
      description:
        "The producer's own event id, unique per merchant. The same id and content again sends nothing new.",
    }),
  created_at: timestamp
    .optional()
    .meta({ description: 'When it happened; kept as this text. Now, if left out.' }),
  ordering_key: text({ lengthMin: 1, lengthMax: ORDERING_KEY_LENGTH_MAX }).optional(),
  deliver_at: timestamp
    .refine(
      (value) => (parseRfc3339(value) ?? 0) <= Date.now() + DELIVER_AT_DAYS_MAX * 86_400_000,
      `must be at most ${DELIVER_AT_DAYS_MAX} days ahead`,
    )
    .optional()
    .meta({ description: `Not before this time; at most ${DELIVER_AT_DAYS_MAX} days ahead.` }),
};

/** An event in a request. `data` is checked on its bytes, apart from this schema. */
export const newEvent = z.strictObject({ ...common, data }).meta({ id: 'NewEvent' });
export type NewEventInput = z.infer<typeof newEvent>;

export const newEventBatch = z
  .strictObject({ events: z.array(newEvent).min(1).max(BATCH_EVENTS_MAX) })
  .meta({ id: 'NewEventBatch' });

export const acceptedEvent = z
  .object({
    id: z.string().meta({
      description: "The producer's own id, or the one that was made.",
      examples: ['evt_01h455vb4pex5vsknk084sn02q'],
    }),
    type: z.string(),
    merchant_id: idOf(ID_PREFIXES.merchant),
    created_at: instant,
    deliveries: z.int().meta({ description: 'How many endpoints get it.' }),
  })
  .meta({ id: 'AcceptedEvent' });

export const acceptedEvents = z.object({ data: z.array(acceptedEvent) }).meta({ id: 'AcceptedEvents' });

export const eventQuery = z.strictObject({
  ...pageQuery,
  merchant_id: z.string().optional().meta({ description: 'For platform keys; left out: across merchants.' }),
});

export const eventPage = pageOf(eventView, 'EventPage');

export function acceptedEventView(event: AcceptedEvent): z.infer<typeof acceptedEvent> {
  return {
    id: event.publicId,
    type: event.type,
    merchant_id: formatId(ID_PREFIXES.merchant, event.merchantId),
    created_at: new Date(event.createdAtMs).toISOString(),
    deliveries: event.deliveries,
  };
}

/** Whether an event can have this id: the one that was made, or its producer's. */
export function isEventId(text: string): boolean {
  return EVENT_ID.test(text);
}

function isOwnForm(id: string): boolean {
  return Object.values(ID_PREFIXES).some((prefix) => parseId(prefix, id) !== null);
}
