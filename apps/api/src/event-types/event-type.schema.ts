import * as z from 'zod';
import type { EventTypeRecord } from '#adapters/postgres/event-types.js';
import { isInnerJsonPointer, JSON_POINTER_LENGTH_MAX } from '#domain/json-pointer.js';
import { REDACT_POINTERS_MAX } from '#domain/redaction.js';
import { instant, text } from '../http/fields.js';
import { utf8, withLastMember } from '../http/json-text.js';
import { pageOf, pageQuery } from '../paging/page.js';
import { retrySchedule } from '../webhooks/webhook.schema.js';

const DESCRIPTION_LENGTH_MAX = 1_000;
/** Describes any payload, and is compiled in a fraction of a second. */
export const SCHEMA_BYTES_MAX = 64 * 1024;
/** A subschema takes two levels; nobody reads thirty of them within each other. */
export const SCHEMA_DEPTH_MAX = 64;

const jsonObject = z
  .custom<object>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  )
  .nullable()
  .default(null);

export const eventTypePut = z
  .strictObject({
    description: text({ lengthMax: DESCRIPTION_LENGTH_MAX }).nullable().default(null),
    schema: jsonObject.meta({
      type: ['object', 'null'],
      additionalProperties: true,
      description:
        `A JSON Schema (2020-12) of at most ${SCHEMA_BYTES_MAX} bytes that data must fit. \`$ref\` only within it and not ` +
        'in circles; patterns as RE2 takes them, in linear time; `format` says nothing; unknown keywords are refused.',
      examples: [{ type: 'object', required: ['amount'], properties: { amount: { type: 'string' } } }],
    }),
    example: jsonObject.meta({
      type: ['object', 'null'],
      additionalProperties: true,
      description: 'Data as such an event has it; it must fit the schema. A test call sends its bytes.',
      examples: [{ amount: '50.00', currency: 'GHS' }],
    }),
    redact: z
      .array(
        z
          .string()
          .refine(isInnerJsonPointer, 'must be a JSON Pointer (RFC 6901) to something within data')
          .meta({ maxLength: JSON_POINTER_LENGTH_MAX }),
      )
      .max(REDACT_POINTERS_MAX)
      .default([])
      .meta({
        description:
          'JSON Pointers to what of the data is shown as "[redacted]", from the start and for events that are there ' +
          'already. Receivers get the real bytes. What is stored of an event that was accepted under them is masked once ' +
          'all of its deliveries have succeeded or been cancelled, else 7 days after the last became final; it cannot ' +
          'be retried after that.',
        examples: [['/card/number']],
      }),
    retry_schedule_seconds: retrySchedule.nullable().default(null).meta({
      description:
        "Waits between attempts, in seconds, for webhooks without waits of their own. null: the webhook's dialect's.",
    }),
  })
  .meta({ id: 'EventTypePut' });
export type EventTypePutInput = z.infer<typeof eventTypePut>;

const flag = z.enum(['true', 'false']).default('false');

export const eventTypePutQuery = z.strictObject({
  force: flag.meta({ description: 'Also when data that was allowed may now be refused.' }),
});

export const eventTypeQuery = z.strictObject({
  ...pageQuery,
  include_archived: flag,
  merchant_id: z
    .string()
    .optional()
    .meta({ description: 'Changes nothing: the catalogue is the same for all.' }),
});

export const eventTypeView = z
  .object({
    name: z.string(),
    description: z.string().nullable(),
    redact: z.array(z.string()),
    retry_schedule_seconds: z.array(z.number()).nullable(),
    archived_at: instant.nullable().meta({ description: 'Since when its events are refused.' }),
    created_at: instant,
    updated_at: instant,
    schema: z.record(z.string(), z.unknown()).nullable(),
    example: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: 'EventType' });

export const eventTypePage = pageOf(eventTypeView, 'EventTypePage');

/** As JSON text: schema and example go in byte for byte. */
export function eventTypeJson(type: EventTypeRecord): string {
  const rest = {
    name: type.name,
    description: type.description,
    redact: type.redact,
    retry_schedule_seconds: type.retryScheduleSeconds,
    archived_at: type.archivedAt?.toISOString() ?? null,
    created_at: type.createdAt.toISOString(),
    updated_at: type.updatedAt.toISOString(),
  };
  const withSchema = withLastMember(JSON.stringify(rest), 'schema', textOf(type.schema));
  return withLastMember(withSchema, 'example', textOf(type.example));
}

function textOf(json: Uint8Array | null): string {
  return json === null ? 'null' : utf8(json);
}
