import { findApiKey, revokeApiKey } from '#adapters/postgres/api-keys.js';
import type { Database } from '#adapters/postgres/database.js';
import type { AuditTrail } from '../audit/audit-trail.js';
import { notFound } from '../http/api-error.js';
import { viewApiKey } from './api-key.schema.js';

/**
 * Revokes a key and records it, in one transaction.
 * @throws {ApiError} 404 when the owner has no such key that is not revoked already
 */
export async function revokeAudited(
  database: Database,
  owner: { readonly merchantId: string | null },
  keyId: string,
  audit: AuditTrail,
): Promise<void> {
  await database.$transaction(async (transaction) => {
    const key = await findApiKey(transaction, owner, keyId);
    if (key === null || !(await revokeApiKey(transaction, owner, keyId))) throw notFound();
    const view = viewApiKey(key);
    await audit.record(transaction, { merchantId: owner.merchantId, target: view.id, before: view });
  });
}
