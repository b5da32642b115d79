import type { Statements } from './database.js';

/**
 * Erases what the audit log says of a merchant beyond who did what to what and when: addresses, and the views before and
 * after. The chain still verifies, because it is made of the payloads' hashes, and without their salts these tell nothing.
 * `audit:verify` takes it for tampering where the log has no `merchant.erased` of the merchant.
 *
 * @param limit entries of one statement
 * @returns how many were erased: `limit` means that there may be more
 */
export function eraseAuditPayloads(db: Statements, merchantId: string, limit: number): Promise<number> {
  return db.$executeRaw`
    WITH picked AS MATERIALIZED (
      SELECT id FROM audit_log
      WHERE merchant_id = ${merchantId}::uuid AND payload IS NOT NULL
      ORDER BY id LIMIT ${limit} FOR NO KEY UPDATE
    )
    UPDATE audit_log a SET payload = NULL, salt = NULL FROM picked WHERE a.id = picked.id`;
}
