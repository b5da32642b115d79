import * as z from 'zod';
import type { AuditRow } from '#adapters/postgres/list-audit.js';
import { AUDIT_ACTION_NAMES, AUDIT_ACTIONS, ENVIRONMENT_ACTOR, SYSTEM_ACTOR } from '#domain/audit-actions.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { parseRfc3339 } from '#domain/timestamps.js';
import { idOf, instant, timestamp } from '../http/fields.js';
import { pageOf, pageQuery } from '../paging/page.js';

const MEANINGS = AUDIT_ACTION_NAMES.map((name) => `- \`${name}\`: ${AUDIT_ACTIONS[name]}`).join('\n');

const action = z.enum(AUDIT_ACTION_NAMES).meta({ description: `What was done:\n\n${MEANINGS}` });

const change = z.record(z.string(), z.unknown()).nullable();

export const auditEntryView = z
  .object({
    id: idOf(ID_PREFIXES.auditEntry),
    sequence: z.int().nullable().meta({
      description:
        'Its place in the chain, from 1 and without a gap; null for the second or so until it is sealed.',
    }),
    actor: z.string().meta({
      description: `The key that it was done with; \`${ENVIRONMENT_ACTOR}\`: the platform key of the environment; \`${SYSTEM_ACTOR}\`: Posthorn or a command of its operator.`,
      examples: ['key_01h455vb4pex5vsknk084sn02q', ENVIRONMENT_ACTOR],
    }),
    key_id: idOf(ID_PREFIXES.apiKey).nullable(),
    address: z
      .string()
      .nullable()
      .meta({
        description: 'Where the request came from; null where there was none, or once erased.',
        examples: ['192.0.2.7'],
      }),
    action,
    merchant_id: idOf(ID_PREFIXES.merchant)
      .nullable()
      .meta({ description: 'null: it concerns no one merchant.' }),
    target: z
      .string()
      .nullable()
      .meta({
        description: 'What it was done to, by its id or name.',
        examples: ['wh_01h455vb4pex5vsknk084sn02q'],
      }),
    before: change.meta({
      description: 'Of a change, the members that differ; of a deletion, the whole. Never holds a secret.',
    }),
    after: change.meta({
      description: 'Of a change, the members that differ; of what is new, the whole. Never holds a secret.',
    }),
    request_id: z.string().nullable(),
    erased: z.boolean().meta({
      description: 'Whether the erasure of the merchant has taken address, request, before and after.',
    }),
    created_at: instant,
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntryView = z.infer<typeof auditEntryView>;

export const auditPage = pageOf(auditEntryView, 'AuditLogPage');

const moment = timestamp.transform((value) => parseRfc3339(value) ?? Number.NaN);

export const auditQuery = z.strictObject({
  ...pageQuery,
  merchant_id: z.string().optional(),
  actor: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .meta({
      description: `A key's id, \`${ENVIRONMENT_ACTOR}\` or \`${SYSTEM_ACTOR}\`.`,
    }),
  key_id: z.string().optional(),
  action: z.enum(AUDIT_ACTION_NAMES).optional(),
  created_after: moment.optional().meta({ format: 'date-time', description: 'At this moment or later.' }),
  created_before: moment.optional().meta({ format: 'date-time', description: 'Before this moment.' }),
});
export type AuditQuery = z.infer<typeof auditQuery>;

export function viewAuditEntry(row: AuditRow): AuditEntryView {
  return {
    id: formatId(ID_PREFIXES.auditEntry, row.id),
    sequence: row.sequence === null ? null : Number(row.sequence),
    actor: row.actor,
    key_id: row.keyId === null ? null : formatId(ID_PREFIXES.apiKey, row.keyId),
    address: row.payload?.address ?? null,
    action: row.action,
    merchant_id: row.merchantId === null ? null : formatId(ID_PREFIXES.merchant, row.merchantId),
    target: row.target,
    before: row.payload?.before ?? null,
    after: row.payload?.after ?? null,
    request_id: row.payload?.request_id ?? null,
    erased: row.payload === null,
    created_at: row.createdAt.toISOString(),
  };
}
