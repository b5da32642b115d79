import * as z from 'zod';
import { ATTEMPTS_SHOWN_MAX, type DeliveryRecord } from '#adapters/postgres/delivery-log.js';
import { DELIVERY_STATUSES, OUTCOMES, TRIGGERS } from '#domain/attempt-outcome.js';
import { isEventType } from '#domain/event-type-pattern.js';
import { formatId, ID_PREFIXES, uuidTimeMs } from '#domain/ids.js';
import { eventView } from '../events/event-view.js';
import { isEventId } from '../events/events.schema.js';
import { idOf, instant, moment, owner, viewOwner } from '../http/fields.js';
import { pageOf, pageQuery, SEARCHED_PAGES } from '../paging/page.js';

/** What a status line can carry (RFC 9110, 15): receivers do send codes that mean nothing. */
const STATUS_CODE = /^[1-9]\d\d$/;

const filters = {
  merchant_id: z.string().optional(),
  status: z.enum(DELIVERY_STATUSES).optional(),
  outcome: z.enum(OUTCOMES).optional().meta({ description: 'Of the last attempt.' }),
  status_code: z
    .string()
    .refine((value) => STATUS_CODE.test(value), 'must be an HTTP status code')
    .transform(Number)
    .optional()
    .meta({ type: 'integer', minimum: 100, maximum: 999, description: 'Of the last attempt.' }),
  event_type: z.string().refine(isEventType, 'must be an event type').optional(),
  event_id: z
    .string()
    .refine(isEventId, 'must be an event id')
    .optional()
    .meta({ description: "The producer's own id, or the one that was made." }),
  created_after: moment.optional().meta({ format: 'date-time', description: 'At this moment or later.' }),
  created_before: moment.optional().meta({ format: 'date-time', description: 'Before this moment.' }),
};

export const webhookDeliveryQuery = z.strictObject({ ...pageQuery, ...filters });
export type WebhookDeliveryQuery = z.infer<typeof webhookDeliveryQuery>;

export const deliveryQuery = z.strictObject({
  ...pageQuery,
  ...filters,
  webhook_id: z.string().optional().meta({ description: 'Deleted ones too: their log stays.' }),
});
export type DeliveryQuery = z.infer<typeof deliveryQuery>;

export const deliveryView = z
  .object({
    id: idOf(ID_PREFIXES.delivery),
    webhook_id: idOf(ID_PREFIXES.endpoint),
    merchant_id: owner,
    event_id: z.string().meta({ description: "The producer's own id, or the one that was made." }),
    event_type: z.string(),
    status: z.enum(DELIVERY_STATUSES).meta({
      description:
        '`pending`: no attempt has ended yet; `retrying`: one has failed, another is due or in flight; `held`: neither ' +
        'succeeded nor given up, and its webhook is paused; the other three are final.',
    }),
    attempt_count: z.int(),
    next_attempt_at: instant
      .nullable()
      .meta({ description: 'null: in flight, the webhook is paused, or none is to come.' }),
    last_attempt: z
      .object({
        number: z.int(),
        outcome: z.enum(OUTCOMES),
        status_code: z.int().nullable(),
        error_code: z.string().nullable(),
        duration_ms: z.int(),
      })
      .nullable()
      .meta({ description: 'The last one that has ended.' }),
    error_code: z.string().nullable().meta({
      description: 'Why it ended without its last attempt saying so: `payload_conflict`, `expired`.',
    }),
    created_at: instant,
    completed_at: instant.nullable(),
  })
  .meta({ id: 'Delivery' });
export type DeliveryView = z.infer<typeof deliveryView>;

export const deliveryPage = pageOf(
  deliveryView,
  'DeliveryPage',
  `For the next page; null on the last one. ${SEARCHED_PAGES}`,
);

const headers = z.record(z.string(), z.string()).meta({
  description: 'Values of a header that was there more than once are joined by a comma and a blank.',
});

export const attemptView = z
  .object({
    id: idOf(ID_PREFIXES.attempt),
    number: z.int().meta({ description: 'From 1.' }),
    trigger: z.enum(TRIGGERS),
    started_at: instant,
    duration_ms: z.int(),
    outcome: z.enum(OUTCOMES),
    status_code: z.int().nullable(),
    error_code: z.string().nullable(),
    error_message: z.string().nullable(),
    request: z.object({
      method: z.literal('POST'),
      url: z.string(),
      headers: headers.meta({
        description: 'Signatures and the values of your own headers are shown as "***".',
      }),
      body: z
        .string()
        .nullable()
        .meta({
          description:
            'As sent, but for what the `redact` of the event type names, which is shown as "[redacted]"; null once the data ' +
            'was erased.',
        }),
    }),
    response: z
      .object({
        headers,
        body: z.string().nullable().meta({
          description:
            'At most its first 16 KiB; see body_encoding. null once erased. What a receiver repeats of the data is not redacted.',
        }),
        body_encoding: z.enum(['utf-8', 'base64']).meta({
          description: '`base64` where the body is not text in UTF-8, such as a compressed one.',
        }),
        body_truncated: z.boolean(),
      })
      .nullable(),
    remote_address: z.string().nullable(),
  })
  .meta({ id: 'Attempt' });
export type AttemptView = z.infer<typeof attemptView>;

export const deliveryDetailView = deliveryView
  .extend({
    attempts: z.array(attemptView).meta({ description: `The latest ${ATTEMPTS_SHOWN_MAX}, in their order.` }),
    event: eventView.nullable().meta({ description: 'null once older than the log.' }),
  })
  .meta({ id: 'DeliveryDetail' });

export function viewDelivery(delivery: DeliveryRecord): DeliveryView {
  return {
    id: formatId(ID_PREFIXES.delivery, delivery.id),
    webhook_id: formatId(ID_PREFIXES.endpoint, delivery.endpointId),
    merchant_id: viewOwner(delivery.merchantId),
    event_id: delivery.producerId ?? formatId(ID_PREFIXES.event, delivery.eventId),
    event_type: delivery.eventType,
    status: delivery.status,
    attempt_count: delivery.attemptCount,
    next_attempt_at: delivery.nextAttemptAt?.toISOString() ?? null,
    last_attempt: viewLastAttempt(delivery),
    error_code: delivery.errorCode,
    created_at: new Date(uuidTimeMs(delivery.id)).toISOString(),
    completed_at: delivery.completedAt?.toISOString() ?? null,
  };
}

function viewLastAttempt(delivery: DeliveryRecord): DeliveryView['last_attempt'] {
  const { lastNumber, lastOutcome, lastStatusCode, lastErrorCode, lastDurationMs } = delivery;
  if (lastNumber === null || lastOutcome === null) return null;
  return {
    number: lastNumber,
    outcome: lastOutcome,
    status_code: lastStatusCode,
    error_code: lastErrorCode,
    duration_ms: lastDurationMs ?? 0,
  };
}
