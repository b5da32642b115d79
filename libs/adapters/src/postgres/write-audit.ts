import { randomBytes } from 'node:crypto';
import { type AuditAction, type AuditView, ENVIRONMENT_ACTOR, SYSTEM_ACTOR } from '#domain/audit-actions.js';
import { AUDIT_SALT_BYTES, auditPayloadHash } from '#domain/audit-chain.js';
import { formatId, ID_PREFIXES, uuidTimeMs } from '#domain/ids.js';
import type { Statements } from './database.js';

/** What happened, as it goes into the audit log. */
export interface AuditEntry {
  /** UUIDv7; also says when. */
  readonly id: string;
  readonly action: AuditAction;
  /** UUID of the key that it was done with; null: by Posthorn itself. */
  readonly keyId: string | null;
  /** UUID of the merchant that it concerns; null: of no one merchant. */
  readonly merchantId: string | null;
  /** What it was done to, by its id or name on the wire. */
  readonly target: string | null;
  readonly payload: AuditPayload;
}

/** What an erasure takes away. No member may ever hold a secret. */
export interface AuditPayload {
  /** Where the request came from. */
  readonly address: string | null;
  /** TypeID. */
  readonly request_id: string | null;
  readonly before: AuditView | null;
  readonly after: AuditView | null;
}

/** Told of a change in the transaction that makes it, to record it there; what it throws undoes the change. */
export type OnChange<Row> = (statements: Statements, before: Row, after: Row) => Promise<void>;

/**
 * Appends an entry, in the transaction of what it tells of. A sealer chains it soon after the commit.
 */
export async function writeAudit(statements: Statements, entry: AuditEntry): Promise<void> {
  const { id, action, keyId, merchantId, target } = entry;
  const payload = JSON.stringify(entry.payload);
  const salt = randomBytes(AUDIT_SALT_BYTES);
  const actor = keyId === null ? SYSTEM_ACTOR : formatId(ID_PREFIXES.apiKey, keyId);
  await statements.$executeRaw`
    INSERT INTO audit_log (id, merchant_id, actor, key_id, action, target, payload, salt, payload_hash, created_at)
    VALUES (${id}::uuid, ${merchantId}::uuid,
            coalesce((SELECT ${ENVIRONMENT_ACTOR} FROM api_keys WHERE id = ${keyId}::uuid AND source = 'environment'), ${actor}),
            ${keyId}::uuid, ${action}, ${target}, ${payload}, ${salt}, ${auditPayloadHash(salt, payload)},
            ${new Date(uuidTimeMs(id))}::timestamptz)`;
}
