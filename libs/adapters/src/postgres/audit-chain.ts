import { randomBytes } from 'node:crypto';
import {
  AUDIT_CHAIN_KEY_BYTES,
  AUDIT_CHAIN_START,
  auditChainMac,
  type ChainedEntry,
} from '#domain/audit-chain.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Database, Statements } from './database.js';
import { Prisma } from './generated/client.js';

/** The last entry of the chain. As sequences have no gap, its sequence is also how many entries there are. */
export interface AuditHead {
  readonly sequence: bigint;
  readonly mac: Uint8Array;
}

/** The log has entries that were sealed, and the key that sealed them is gone. */
export class AuditChainKeyMissing extends Error {
  override readonly name = 'AuditChainKeyMissing';

  constructor() {
    super('The audit log has sealed entries, but the key of its chain is gone from audit_chain_key.');
  }
}

/**
 * Chains what was written into the audit log since it did so last: each entry gets the next sequence, and a MAC over
 * itself and the MAC before. Any number of processes may do it; one at a time does, the others leave at once.
 *
 * Entries are taken as they have become visible, whatever their ids and times say, so one that is committed late is
 * chained late and not passed over.
 *
 * @param entriesMax entries of one transaction
 * @returns how many were sealed: `entriesMax` means that there may be more
 */
export function sealAuditLog(database: Database, box: SecretBox, entriesMax: number): Promise<number> {
  return database.$transaction(async (tx) => {
    const [lock] = await tx.$queryRaw<{ isOurs: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(${SEALER_LOCK}::bigint) AS "isOurs"`;
    if (lock?.isOurs !== true) return 0;
    const entries = await tx.$queryRaw<Omit<ChainedEntry, 'sequence'>[]>`
      SELECT ${CHAINED_COLUMNS} FROM audit_log WHERE sequence IS NULL ORDER BY id LIMIT ${entriesMax}`;
    if (entries.length === 0) return 0;
    const head = await auditHead(tx);
    const key = (await chainKey(tx, box)) ?? (await makeChainKey(tx, box, head));
    let { sequence, mac } = head ?? { sequence: 0n, mac: AUDIT_CHAIN_START };
    const sealed = entries.map((entry) => {
      sequence += 1n;
      const previous = mac;
      const own = auditChainMac(key, previous, { ...entry, sequence });
      mac = own;
      return { id: entry.id, sequence, mac: own };
    });
    return tx.$executeRaw`
      UPDATE audit_log a SET sequence = s.sequence, chain_mac = s.mac
      FROM unnest(${sealed.map(({ id }) => id)}::uuid[], ${sealed.map((entry) => entry.sequence)}::bigint[],
                  ${sealed.map((entry) => entry.mac)}::bytea[]) AS s (id, sequence, mac)
      WHERE a.id = s.id`;
  });
}

/** Null while nothing is sealed. */
export async function auditHead(db: Statements): Promise<AuditHead | null> {
  const [head] = await db.$queryRaw<AuditHead[]>`
    SELECT sequence, chain_mac AS mac FROM audit_log WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1`;
  return head ?? null;
}

/** Null before the first entry is sealed. @throws {Error} when the encryption keys do not open it */
export async function chainKey(db: Statements, box: SecretBox): Promise<Uint8Array | null> {
  const [row] = await db.$queryRaw<{ sealed: Uint8Array }[]>`SELECT sealed FROM audit_chain_key`;
  return row === undefined ? null : box.open(row.sealed, CHAIN_KEY_ROW_ID);
}

async function makeChainKey(db: Statements, box: SecretBox, head: AuditHead | null): Promise<Uint8Array> {
  // A new key would make everything before it look altered, and hide that the old one was taken away.
  if (head !== null) throw new AuditChainKeyMissing();
  const key = randomBytes(AUDIT_CHAIN_KEY_BYTES);
  await db.$executeRaw`INSERT INTO audit_chain_key (id, sealed) VALUES (1, ${box.seal(key, CHAIN_KEY_ROW_ID)})`;
  return key;
}

/** Of {@link ChainedEntry}, but for the sequence. */
export const CHAINED_COLUMNS = Prisma.sql`
  id, merchant_id AS "merchantId", actor, key_id AS "keyId", action, target, created_at AS "createdAt",
  payload_hash AS "payloadHash"`;

/** There is one key, in the row of this id. */
const CHAIN_KEY_ROW_ID = 'audit_chain_key/1';
/** Any number that no other use of advisory locks in this database has. */
const SEALER_LOCK = 7_061_737_469n;
