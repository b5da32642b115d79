import * as z from 'zod';
import {
  DISABLED_REASONS,
  effectiveEndpoint,
  ENDPOINT_STATUSES,
  type EndpointRecord,
} from '#adapters/postgres/endpoints-record.js';
import { DIALECT_NAMES } from '#domain/dialects.js';
import { HEALTH_STATES, healthState } from '#domain/endpoint-health.js';
import { EVENT_TYPE_LENGTH_MAX, isEventTypePattern } from '#domain/event-type-pattern.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { PAYLOAD_FORMATS } from '#domain/payload-format.js';
import { DEFAULT_RETRY_SCHEDULE_SECONDS, RETRY_PRESETS, type RetryPreset } from '#domain/retry-schedule.js';
import { SECRET_LENGTH_MAX, SECRET_LENGTH_MIN } from '#domain/secret.js';
import { isStandardWebhooks, SIGNATURE_SCHEMES } from '#domain/signature.js';
import { idOf, instant, metadata, owner, text, viewOwner } from '../http/fields.js';
import { pageOf, pageQuery } from '../paging/page.js';
import { filter, requiredResponse, successStatuses, viewFilter, viewRequiredResponse } from './conditions.js';
import {
  clientCertificateInput,
  clientCertificateView,
  viewClientCertificate,
} from './client-certificate.js';
import {
  CUSTOM_HEADERS_MAX,
  customHeaderProblems,
  HEADER_NAME_LENGTH_MAX,
  HIDDEN_VALUE,
  isHeaderName,
} from './custom-headers.js';
import { overlapSeconds, verifierView } from './webhook-secret.schema.js';

/** What a URL may have; the egress policy refuses the rest as `url_not_allowed`. */
const URL_LENGTH_MAX = 2_048;
const PATTERNS_MAX = 100;
/** Room for a sentence or two. */
const DESCRIPTION_LENGTH_MAX = 500;
/** One for each scheme, and one more while a receiver moves between two headers. */
const SIGNATURES_MAX = 6;
const WAITS_MAX = 20;
/** A week: whoever waits longer wants a recovery and not a retry. */
const WAIT_SECONDS_MAX = 604_800;
const TIMEOUT_MS_MIN = 1_000;
const TIMEOUT_MS_MAX = 30_000;
const TIMEOUT_MS_DEFAULT = 10_000;
/** More than one endpoint is likely to get from all workers together. */
const RATE_PER_SECOND_MAX = 10_000;
/** Far above what a receiver takes at once, and a bound on what one endpoint can hold of all workers' slots. */
const IN_FLIGHT_MAX = 1_000;
/** Enough for 1,000 a second at a receiver's typical 100 ms, and what an ordinary web server takes. */
const IN_FLIGHT_DEFAULT = 100;

const url = z
  .string()
  .refine((value) => value.isWellFormed(), 'must be well-formed Unicode')
  .meta({
    format: 'uri',
    maxLength: URL_LENGTH_MAX,
    description: 'https (or http where the operator allows it), without credentials, at a public address.',
    examples: ['https://shop.example/webhooks'],
  });

const events = z
  .array(
    z
      .string()
      .refine(isEventTypePattern, 'must be an event type, an event type followed by .*, or *')
      .meta({ maxLength: EVENT_TYPE_LENGTH_MAX }),
  )
  .min(1)
  .max(PATTERNS_MAX)
  .meta({
    description:
      'An exact type, `payment.*` for one or more further segments, or `*`. Operational events (`webhook.failing`, ' +
      '`webhook.recovered`, `webhook.disabled`, `delivery.exhausted`) have to be asked for by their own name, or as ' +
      '`webhook.*` and `delivery.*`: `*` does not match them.',
    examples: [['payment.*', 'refund.processed']],
  });

const description = text({ lengthMax: DESCRIPTION_LENGTH_MAX }).nullable();

const dialect = z.enum(DIALECT_NAMES);
const payloadFormat = z.enum(PAYLOAD_FORMATS);

const signature = z
  .strictObject({
    scheme: z.enum(SIGNATURE_SCHEMES),
    header: z
      .string()
      .refine(isHeaderName, `must be a header name of at most ${HEADER_NAME_LENGTH_MAX} characters`)
      .optional()
      .meta({ maxLength: HEADER_NAME_LENGTH_MAX, description: "Instead of the scheme's own header name." }),
  })
  .refine((spec) => !isStandardWebhooks(spec) || spec.header === undefined, {
    path: ['header'],
    message: 'cannot be chosen for Standard Webhooks',
  })
  // One without a header has no such member, in the database as in the answer.
  .transform(({ scheme, header }) => (header === undefined ? { scheme } : { scheme, header }))
  .meta({ id: 'Signature' });
const signatures = z.array(signature).max(SIGNATURES_MAX);

export const retrySchedule = z.array(z.int().min(0).max(WAIT_SECONDS_MAX)).max(WAITS_MAX).meta({
  description: 'Waits between attempts, in seconds; one more attempt than waits. Jitter of 10% either way.',
});

const presets = Object.keys(RETRY_PRESETS) as [RetryPreset, ...RetryPreset[]];
const retryPreset = z
  .enum(presets)
  .meta({ description: 'A schedule by its name, instead of retry_schedule_seconds.' });

const timeoutMs = z
  .int()
  .min(TIMEOUT_MS_MIN)
  .max(TIMEOUT_MS_MAX)
  .meta({ description: 'One deadline from before the look-up of the name to the last byte read.' });

const rateLimitPerSecond = z
  .int()
  .min(1)
  .max(RATE_PER_SECOND_MAX)
  .nullable()
  .meta({
    description:
      'Attempts that may begin in a second, across all workers; what is more waits. A quiet second is not saved up. ' +
      'null: no limit.',
  });

const maxInFlight = z.int().min(1).max(IN_FLIGHT_MAX).meta({
  description: 'Attempts that may be under way at once, across all workers; what is more waits.',
});

const headers = z
  .custom<Readonly<Record<string, string>>>(isObjectOfStrings, 'must be an object of strings')
  .transform((members) => Object.entries(members))
  .superRefine((pairs, context) => {
    for (const { path, message } of customHeaderProblems(pairs)) {
      context.addIssue({ code: 'custom', path: path.split('.').slice(1), message });
    }
  })
  .meta({
    type: 'object',
    maxProperties: CUSTOM_HEADERS_MAX,
    additionalProperties: { type: 'string' },
    description:
      `Headers of your own, sent with every request. Values are write-only: shown as "${HIDDEN_VALUE}". ` +
      `A PATCH replaces all of them; "${HIDDEN_VALUE}" there keeps the value of that name.`,
  });

const givenSecret = z.string().meta({
  minLength: SECRET_LENGTH_MIN,
  maxLength: SECRET_LENGTH_MAX,
  description:
    'Generated if left out. Where standard-webhooks signs, `whsec_…` is followed by base64 of 16 to 64 bytes.',
});

const oneSchedule = {
  path: ['retry_preset'],
  message: 'cannot be given together with retry_schedule_seconds',
};

export const webhookCreate = z
  .strictObject({
    merchant_id: z
      .string()
      .nullable()
      .optional()
      .meta({
        description:
          "Whose it is; needed with a platform key. null, with a platform key: the operator's own, which gets the " +
          'operational events about every merchant and nothing else.',
      }),
    url,
    events,
    secret: givenSecret.optional(),
    description: description.default(null),
    dialect: dialect.nullable().default(null).meta({ description: "null: the merchant's." }),
    payload_format: payloadFormat.nullable().default(null).meta({ description: "null: the dialect's." }),
    signatures: signatures.nullable().default(null).meta({ description: "null: the dialect's." }),
    retry_schedule_seconds: retrySchedule.nullable().optional(),
    retry_preset: retryPreset.optional(),
    timeout_ms: timeoutMs.default(TIMEOUT_MS_DEFAULT),
    rate_limit_per_second: rateLimitPerSecond.default(null),
    max_in_flight: maxInFlight.default(IN_FLIGHT_DEFAULT),
    headers: headers.default([]),
    client_certificate: clientCertificateInput.default(null),
    filter: filter.default(null),
    success_statuses: successStatuses.default(null),
    required_response: requiredResponse.default(null),
    metadata: metadata.default({}),
  })
  .refine((input) => !input.retry_preset || !input.retry_schedule_seconds, oneSchedule)
  .refine((input) => input.headers.every(([, value]) => value !== HIDDEN_VALUE), {
    path: ['headers'],
    message: `must have values: "${HIDDEN_VALUE}" only stands for one that is there already`,
  })
  .meta({ id: 'WebhookCreate' });
export type WebhookCreate = z.infer<typeof webhookCreate>;

export const webhookUpdate = z
  .strictObject({
    url: url.optional(),
    events: events.optional(),
    description: description.optional(),
    status: z
      .enum(ENDPOINT_STATUSES)
      .optional()
      .meta({
        description:
          'Pausing holds what is open and what is still to come; no attempt begins once it is answered, and those under ' +
          'way end as they do. Enabling again sends what was held, the oldest first. Disabling cancels what is open and ' +
          'not in flight, and nothing more is made for it; enabling again revives none of it.',
      }),
    dialect: dialect.nullable().optional().meta({ description: "null: the merchant's again." }),
    payload_format: payloadFormat.nullable().optional().meta({ description: "null: the dialect's again." }),
    signatures: signatures.nullable().optional().meta({ description: "null: the dialect's again." }),
    retry_schedule_seconds: retrySchedule.nullable().optional(),
    retry_preset: retryPreset.optional(),
    timeout_ms: timeoutMs.optional(),
    rate_limit_per_second: rateLimitPerSecond.optional(),
    max_in_flight: maxInFlight.optional(),
    headers: headers.optional(),
    client_certificate: clientCertificateInput.optional(),
    filter: filter.optional(),
    success_statuses: successStatuses.optional(),
    required_response: requiredResponse.optional(),
    metadata: metadata.optional().meta({ description: 'Replaces all of it.' }),
  })
  .refine((input) => !input.retry_preset || input.retry_schedule_seconds === undefined, oneSchedule)
  .meta({ id: 'WebhookUpdate' });
export type WebhookUpdate = z.infer<typeof webhookUpdate>;

export const webhookView = z
  .object({
    id: idOf(ID_PREFIXES.endpoint),
    merchant_id: owner,
    url: z.string(),
    events: z.array(z.string()),
    description: z.string().nullable(),
    status: z.enum(ENDPOINT_STATUSES).meta({
      description: '`paused`: its deliveries are held; `disabled`: it gets none.',
    }),
    disabled_reason: z.enum(DISABLED_REASONS).nullable().meta({
      description: '`manual`: by call; `gone`: the receiver answered 410; `failing`: it failed for too long.',
    }),
    dialect,
    payload_format: payloadFormat,
    signatures: z.array(z.object({ scheme: z.enum(SIGNATURE_SCHEMES), header: z.string().optional() })),
    retry_schedule_seconds: z.array(z.number()).meta({
      description: "The webhook's own, else its dialect's, which gives way to those of an event's type.",
      examples: [[...DEFAULT_RETRY_SCHEDULE_SECONDS]],
    }),
    timeout_ms: z.int(),
    rate_limit_per_second: rateLimitPerSecond,
    max_in_flight: maxInFlight,
    headers: z.record(z.string(), z.literal(HIDDEN_VALUE)),
    client_certificate: clientCertificateView,
    filter,
    success_statuses: successStatuses,
    required_response: requiredResponse,
    metadata: z.record(z.string(), z.string()),
    health: z.object({
      state: z.enum(HEALTH_STATES).meta({
        description:
          'The first that fits. `suspended`: almost everything has failed for a while, so only a probe is sent now and ' +
          'then, and nothing is charged; `recovering`: it was suspended a moment ago, and what waited is sent slowly ' +
          'at first; `failing`: the latest attempt failed; `slow`: attempts take over a second, so its deliveries ' +
          'wait among those of slow webhooks; `healthy`: the latest succeeded; `idle`: no attempt has ended yet. ' +
          'Whether it is paused or disabled is its `status`.',
      }),
      consecutive_failures: z.int().meta({ description: 'Attempts that failed since the last success.' }),
      last_success_at: instant.nullable(),
      last_failure_at: instant.nullable(),
    }),
    created_at: instant,
    updated_at: instant,
  })
  .meta({ id: 'Webhook' });
export type WebhookView = z.infer<typeof webhookView>;

export const newWebhookView = webhookView.extend(verifierView).meta({ id: 'NewWebhook' });

export const secretRotate = z
  .strictObject({ secret: givenSecret.optional(), overlap_seconds: overlapSeconds })
  .meta({ id: 'SecretRotate' });
export type SecretRotate = z.infer<typeof secretRotate>;

export const webhookPage = pageOf(webhookView, 'WebhookPage');
export const webhookQuery = z.strictObject({ ...pageQuery, merchant_id: z.string().optional() });

/** @param nowMs Unix milliseconds on PostgreSQL's clock, by which it is judged how the webhook fares */
export function viewWebhook(endpoint: EndpointRecord, nowMs: number): WebhookView {
  const { dialect, payloadFormat, signatures, retryScheduleSeconds } = effectiveEndpoint(
    endpoint.overrides,
    endpoint.merchantDialect,
  );
  const { health } = endpoint;
  return {
    id: formatId(ID_PREFIXES.endpoint, endpoint.id),
    merchant_id: viewOwner(endpoint.merchantId),
    url: endpoint.url,
    events: [...endpoint.events],
    description: endpoint.description,
    status: endpoint.status,
    disabled_reason: endpoint.disabledReason,
    dialect,
    payload_format: payloadFormat,
    signatures: signatures.map((spec) => ({ ...spec })),
    retry_schedule_seconds: [...retryScheduleSeconds],
    timeout_ms: endpoint.timeoutMs,
    rate_limit_per_second: endpoint.rateLimitPerSecond,
    max_in_flight: endpoint.maxInFlight,
    filter: viewFilter(endpoint.filter),
    success_statuses: endpoint.acknowledgement.successStatuses && [
      ...endpoint.acknowledgement.successStatuses,
    ],
    required_response: viewRequiredResponse(endpoint.acknowledgement.requiredResponse),
    headers: Object.fromEntries(endpoint.headers.map(([name]) => [name, HIDDEN_VALUE])),
    client_certificate: viewClientCertificate(endpoint.clientCertificate),
    metadata: { ...endpoint.metadata },
    health: {
      state: healthState(health, nowMs),
      consecutive_failures: health.consecutiveFailures,
      last_success_at: health.lastSuccessAt?.toISOString() ?? null,
      last_failure_at: health.lastFailureAt?.toISOString() ?? null,
    },
    created_at: endpoint.createdAt.toISOString(),
    updated_at: endpoint.updatedAt.toISOString(),
  };
}

function isObjectOfStrings(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((member) => typeof member === 'string')
  );
}
