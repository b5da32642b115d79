import { createHash, createHmac } from 'node:crypto';

/** SHA-256 and HMAC-SHA-256. */
const AUDIT_HASH_BYTES = 32;
/** As long as the key of an HMAC-SHA-256 gains from (RFC 2104, 3). */
export const AUDIT_CHAIN_KEY_BYTES = 32;
/** Enough that nobody finds out an erased payload by trying those that it might have been. */
export const AUDIT_SALT_BYTES = 16;

/** What stands before the first entry. */
export const AUDIT_CHAIN_START: Uint8Array = new Uint8Array(AUDIT_HASH_BYTES);

/** What an entry keeps for ever. An erasure takes its payload and salt, and leaves their hash. */
export interface ChainedEntry {
  /** Position in the chain, from 1, without a gap. */
  readonly sequence: bigint;
  readonly id: string;
  readonly merchantId: string | null;
  readonly actor: string;
  readonly keyId: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly createdAt: Date;
  readonly payloadHash: Uint8Array;
}

/** `SHA-256(salt || payload)`. @param payload as text, hashed as UTF-8 */
export function auditPayloadHash(salt: Uint8Array, payload: string): Uint8Array<ArrayBuffer> {
  return createHash('sha256').update(salt).update(payload, 'utf8').digest();
}

/**
 * `HMAC-SHA-256(key, previous || payload hash || envelope)`. The envelope is the UTF-8 of a JSON array of the entry's
 * other fields, so none of them can be changed either, nor the entry moved.
 *
 * @param previous the MAC of the entry before, or {@link AUDIT_CHAIN_START}
 */
export function auditChainMac(
  key: Uint8Array,
  previous: Uint8Array,
  entry: ChainedEntry,
): Uint8Array<ArrayBuffer> {
  const { sequence, id, merchantId, actor, keyId, action, target, createdAt } = entry;
  const envelope = [
    sequence.toString(),
    id,
    merchantId,
    actor,
    keyId,
    action,
    target,
    // A time that no Date can hold was never sealed, and must not end the verification.
    Number.isNaN(createdAt.getTime()) ? null : createdAt.toISOString(),
  ];
  return createHmac('sha256', key)
    .update(previous)
    .update(entry.payloadHash)
    .update(JSON.stringify(envelope), 'utf8')
    .digest();
}
