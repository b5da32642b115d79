import * as z from 'zod';
import type { Recovery } from '#adapters/postgres/recoveries.js';
import { isEventType } from '#domain/event-type-pattern.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { RECOVERABLE_STATUSES } from '#pipeline/recover.js';
import { idOf, instant, moment, owner, viewOwner } from '../http/fields.js';
import { pageOf, pageQuery } from '../paging/page.js';

/** As many as a webhook has patterns. */
const EVENT_TYPES_MAX = 100;
/** What a webhook's own rate can be at most. */
const RATE_PER_SECOND_MAX = 10_000;

const statuses = z
  .array(z.enum(RECOVERABLE_STATUSES))
  .min(1)
  .refine((given) => new Set(given).size === given.length, 'must not have one twice')
  .meta({
    description:
      'Of what is sent again: `failed`, `cancelled`, or `succeeded` for a replay. What succeeded stays `succeeded`, ' +
      'whatever becomes of it now. What is still open is left alone.',
  });

const ratePerSecond = z.int().min(1).max(RATE_PER_SECOND_MAX).nullable();

export const recoveryCreate = z
  .strictObject({
    since: moment.meta({
      format: 'date-time',
      description: 'Deliveries made at this moment or later; in the past.',
    }),
    until: moment
      .optional()
      .meta({ format: 'date-time', description: 'Deliveries made before this moment; now, if left out.' }),
    statuses: statuses.default(['failed']),
    event_types: z
      .array(z.string().refine(isEventType, 'must be an event type'))
      .min(1)
      .max(EVENT_TYPES_MAX)
      .nullable()
      .default(null)
      .meta({ description: 'Exact types; null: all.' }),
    rate_per_second: ratePerSecond.default(null).meta({
      description: 'Deliveries that are made due again in a second; null: as fast as can be.',
    }),
    dry_run: z.boolean().default(false).meta({ description: 'Only count: nothing is made or sent.' }),
  })
  .refine(({ since, until }) => until === undefined || since < until, {
    path: ['until'],
    message: 'must be later than since',
  })
  .meta({ id: 'RecoveryCreate' });
export type RecoveryCreate = z.infer<typeof recoveryCreate>;

const RECOVERY_STATUSES = ['running', 'completed', 'cancelled', 'dry_run'] as const;

export const recoveryView = z
  .object({
    id: idOf(ID_PREFIXES.recovery).nullable().meta({ description: 'null: a dry run, which is not kept.' }),
    webhook_id: idOf(ID_PREFIXES.endpoint),
    merchant_id: owner,
    since: instant,
    until: instant,
    statuses: z.array(z.enum(RECOVERABLE_STATUSES)),
    event_types: z.array(z.string()).nullable(),
    rate_per_second: ratePerSecond,
    status: z.enum(RECOVERY_STATUSES).meta({
      description:
        '`completed`: everything is open again, though not all of it may have been sent yet; `cancelled`: by call, or ' +
        'because the webhook was disabled or deleted meanwhile; what was open by then goes on.',
    }),
    total: z.int().meta({ description: 'Deliveries to be sent again, counted when it was made.' }),
    done: z.int().meta({ description: 'Deliveries that are open again, or were and are final by now.' }),
    skipped: z.int().meta({
      description:
        'Deliveries that were asked for and are not sent again: their event is past retention, erased or redacted, their ' +
        'payload format cannot carry it, or somebody retries them by hand at that moment. What a dry run would skip.',
    }),
    created_at: instant,
    completed_at: instant.nullable(),
  })
  .meta({ id: 'Recovery' });
export type RecoveryView = z.infer<typeof recoveryView>;

export const recoveryPage = pageOf(recoveryView, 'RecoveryPage');
export const recoveryQuery = z.strictObject({ ...pageQuery, merchant_id: z.string().optional() });

export function viewRecovery(recovery: Recovery): RecoveryView {
  return {
    id: formatId(ID_PREFIXES.recovery, recovery.id),
    webhook_id: formatId(ID_PREFIXES.endpoint, recovery.endpointId),
    merchant_id: viewOwner(recovery.merchantId),
    since: recovery.since.toISOString(),
    until: recovery.until.toISOString(),
    // Both columns hold only what was checked against these types.
    statuses: recovery.statuses as RecoveryView['statuses'],
    event_types: recovery.eventTypes.length === 0 ? null : recovery.eventTypes,
    rate_per_second: recovery.ratePerSecond,
    status: recovery.status as RecoveryView['status'],
    total: Number(recovery.total),
    done: Number(recovery.done),
    skipped: Number(recovery.skipped),
    created_at: recovery.createdAt.toISOString(),
    completed_at: recovery.completedAt?.toISOString() ?? null,
  };
}
