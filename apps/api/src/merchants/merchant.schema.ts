import * as z from 'zod';
import type { Merchant } from '#adapters/postgres/merchants.js';
import { DEFAULT_DIALECT, DIALECT_NAMES } from '#domain/dialects.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { EXTERNAL_ID_LENGTH_MAX, idOf, instant, metadata, NAME_LENGTH_MAX, text } from '../http/fields.js';
import { pageOf, pageQuery } from '../paging/page.js';

const name = text({ lengthMin: 1, lengthMax: NAME_LENGTH_MAX });
const externalId = text({ lengthMin: 1, lengthMax: EXTERNAL_ID_LENGTH_MAX }).meta({
  description: 'Your own id of the merchant; unique.',
});
const dialect = z.enum(DIALECT_NAMES).meta({ description: 'The wire format that its receivers know.' });

const payloadRetentionDays = z
  .int()
  .min(1)
  .meta({
    description:
      "After this many days the data of the merchant's events, and the bodies of what receivers answered, are erased, once all " +
      "of an event's deliveries are final. At most the days that the whole log is kept. null: as long as the log.",
    examples: [7],
  });

export const merchantCreate = z
  .strictObject({
    name,
    external_id: externalId.nullable().default(null),
    dialect: dialect.default(DEFAULT_DIALECT),
    payload_retention_days: payloadRetentionDays.nullable().default(null),
    metadata: metadata.default({}),
  })
  .meta({ id: 'MerchantCreate' });

export const merchantUpdate = z
  .strictObject({
    name: name.optional(),
    external_id: externalId.nullable().optional(),
    dialect: dialect.optional(),
    payload_retention_days: payloadRetentionDays.nullable().optional(),
    metadata: metadata.optional().meta({ description: 'Replaces all of it.' }),
  })
  .meta({ id: 'MerchantUpdate' });

export const merchantView = z
  .object({
    id: idOf(ID_PREFIXES.merchant),
    name: z.string(),
    external_id: z.string().nullable(),
    dialect: z.string(),
    payload_retention_days: z.int().nullable(),
    metadata: z.record(z.string(), z.string()),
    status: z
      .enum(['active', 'erasing'])
      .meta({ description: '`erasing`: everything of it is being removed, itself last of all.' }),
    created_at: instant,
    updated_at: instant,
  })
  .meta({ id: 'Merchant' });
export type MerchantView = z.infer<typeof merchantView>;

export const merchantPage = pageOf(merchantView, 'MerchantPage');
export const merchantQuery = z.strictObject({ ...pageQuery });

export const erasingView = z.object({ status: z.literal('erasing') }).meta({ id: 'MerchantErasing' });

export function viewMerchant(merchant: Merchant): MerchantView {
  return {
    id: formatId(ID_PREFIXES.merchant, merchant.id),
    name: merchant.name,
    external_id: merchant.externalId,
    dialect: merchant.dialect,
    payload_retention_days: merchant.payloadRetentionDays,
    metadata: merchant.metadata as Record<string, string>,
    status: merchant.status === 'erasing' ? 'erasing' : 'active',
    created_at: merchant.createdAt.toISOString(),
    updated_at: merchant.updatedAt.toISOString(),
  };
}
