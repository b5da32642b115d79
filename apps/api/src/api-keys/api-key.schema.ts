import * as z from 'zod';
import { MERCHANT_SCOPES, PLATFORM_SCOPES, type ApiKey } from '#adapters/postgres/api-keys.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { parseRfc3339 } from '#domain/timestamps.js';
import { idOf, instant, NAME_LENGTH_MAX, text, timestamp } from '../http/fields.js';
import { pageOf, pageQuery } from '../paging/page.js';

const name = text({ lengthMin: 1, lengthMax: NAME_LENGTH_MAX });

const expiresAt = timestamp
  .refine((value) => (parseRfc3339(value) ?? 0) > Date.now(), 'must be in the future')
  .transform((value) => new Date(parseRfc3339(value) ?? Number.NaN))
  .nullable()
  .default(null)
  .meta({ description: 'The key is refused from then on; left out, it does not expire.' });

function scopesOf<const Scopes extends readonly [string, ...string[]]>(scopes: Scopes) {
  return z
    .array(z.enum(scopes))
    .min(1)
    .max(scopes.length)
    .refine((given) => new Set(given).size === given.length, 'must not name a scope twice')
    .default([...scopes])
    .meta({ description: 'Left out: all of them.', uniqueItems: true });
}

export const merchantKeyCreate = z
  .strictObject({ name, scopes: scopesOf(MERCHANT_SCOPES), expires_at: expiresAt })
  .meta({ id: 'MerchantApiKeyCreate' });

export const platformKeyCreate = z
  .strictObject({ name, scopes: scopesOf(PLATFORM_SCOPES), expires_at: expiresAt })
  .meta({ id: 'PlatformApiKeyCreate' });

export const apiKeyView = z
  .object({
    id: idOf(ID_PREFIXES.apiKey),
    merchant_id: idOf(ID_PREFIXES.merchant).nullable().meta({ description: 'null: a platform key.' }),
    name: z.string(),
    prefix: z.string().meta({ description: 'The first characters of the key.' }),
    scopes: z.array(z.enum(PLATFORM_SCOPES)),
    expires_at: instant.nullable(),
    last_used_at: instant.nullable().meta({ description: 'To about a minute; null: not yet.' }),
    created_at: instant,
  })
  .meta({ id: 'ApiKey' });
export type ApiKeyView = z.infer<typeof apiKeyView>;

export const newApiKeyView = apiKeyView
  .extend({ key: z.string().meta({ description: 'The key itself: shown this once.' }) })
  .meta({ id: 'NewApiKey' });

export const apiKeyPage = pageOf(apiKeyView, 'ApiKeyPage');
export const apiKeyQuery = z.strictObject({ ...pageQuery });

export function viewApiKey(key: ApiKey): ApiKeyView {
  return {
    id: formatId(ID_PREFIXES.apiKey, key.id),
    merchant_id: key.merchantId === null ? null : formatId(ID_PREFIXES.merchant, key.merchantId),
    name: key.name,
    prefix: key.prefix,
    scopes: PLATFORM_SCOPES.filter((scope) => key.scopes.includes(scope)),
    expires_at: key.expiresAt?.toISOString() ?? null,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    created_at: key.createdAt.toISOString(),
  };
}
