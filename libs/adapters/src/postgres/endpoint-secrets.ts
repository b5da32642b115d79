import { randomBytes } from 'node:crypto';
import { generateSigningPair, SEED_BYTES, type SigningPair } from '#domain/signing-pair.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Statements } from './database.js';
import { Prisma } from './generated/client.js';
import type { Transaction } from './idempotent-posts.js';

/** A secret of an endpoint, in clear. */
export interface EndpointSecret {
  readonly id: string;
  readonly secret: string;
  /** Its Ed25519 pair; null until a signature asks for one. */
  readonly pair: SigningPair | null;
  /** The end of its overlap; null: the current one. */
  readonly expiresAt: Date | null;
}

/** As the database holds it. */
export interface SealedSecret {
  readonly id: string;
  readonly sealed: Uint8Array;
  readonly publicKey: Uint8Array | null;
  readonly expiresAt: Date | null;
}

export function openSecret(box: SecretBox, row: SealedSecret): EndpointSecret {
  const { id, expiresAt, publicKey } = row;
  const plain = Buffer.from(box.open(row.sealed, id));
  if (publicKey === null) return { id, expiresAt, pair: null, secret: plain.toString('utf8') };
  const pair = {
    seed: Uint8Array.from(plain.subarray(0, SEED_BYTES)),
    publicKey: Uint8Array.from(publicKey),
  };
  return { id, expiresAt, pair, secret: plain.toString('utf8', SEED_BYTES) };
}

/** The columns that hold a secret and its pair. */
export function sealSecret(
  box: SecretBox,
  { id, secret, pair }: Pick<EndpointSecret, 'id' | 'secret' | 'pair'>,
): { readonly sealed: Uint8Array<ArrayBuffer>; readonly publicKey: Uint8Array<ArrayBuffer> | null } {
  const text = Buffer.from(secret, 'utf8');
  return {
    sealed: box.seal(pair === null ? text : Buffer.concat([pair.seed, text]), id),
    publicKey: pair?.publicKey ?? null,
  };
}

export function newSigningPair(): SigningPair {
  return generateSigningPair(randomBytes);
}

/** Whose secrets they are: what belongs to another merchant is not found. */
export interface SecretsOwner {
  readonly id: string;
  readonly merchantId: string;
}

function isOf({ id, merchantId }: SecretsOwner): Prisma.Sql {
  return Prisma.sql`endpoint_id = (SELECT e.id FROM endpoints e
                                 WHERE e.id = ${id}::uuid AND e.merchant_id = ${merchantId}::uuid)`;
}

/**
 * Secrets that are live by the database's clock, oldest first. A rotation lets none outlive one that came after it, so
 * they end in the order they came in, whichever process made their ids.
 */
export async function liveSecrets(
  statements: Statements,
  box: SecretBox,
  endpoint: SecretsOwner,
): Promise<EndpointSecret[]> {
  const rows = await statements.$queryRaw<SealedSecret[]>`
    SELECT id, sealed, public_key AS "publicKey", expires_at AS "expiresAt"
    FROM endpoint_secrets
    WHERE ${isOf(endpoint)} AND (expires_at IS NULL OR expires_at > clock_timestamp())
    ORDER BY expires_at NULLS LAST, created_at, id`;
  return rows.map((row) => openSecret(box, row));
}

/**
 * Makes `next` the current secret. Those before it stay live for `overlapSeconds` more, or for as long as they would
 * have anyway where that is less. The caller holds the lock of the endpoint's merchant.
 */
export async function replaceSecret(
  tx: Transaction,
  box: SecretBox,
  endpoint: SecretsOwner,
  next: Pick<EndpointSecret, 'id' | 'secret' | 'pair'>,
  overlapSeconds: number,
): Promise<void> {
  // Not now(): that is when the transaction began, which may have waited for the lock behind another rotation. Asked once,
  // so that all of them end together, and cut to what the column holds: rounded up, an overlap of 0 would not be over yet.
  await tx.$executeRaw`
    UPDATE endpoint_secrets
    SET expires_at = least(expires_at, (SELECT date_trunc('milliseconds', clock_timestamp())) + make_interval(secs => ${overlapSeconds}::int))
    WHERE ${isOf(endpoint)} AND (expires_at IS NULL OR expires_at > clock_timestamp())`;
  const { sealed, publicKey } = sealSecret(box, next);
  await tx.$executeRaw`
    INSERT INTO endpoint_secrets (id, endpoint_id, sealed, public_key, created_at)
    VALUES (${next.id}::uuid, ${endpoint.id}::uuid, ${sealed}, ${publicKey}, clock_timestamp())`;
}

/** Gives the current secret a pair, if it has none. The caller holds the lock of the endpoint's merchant. */
export async function addSigningPair(tx: Transaction, box: SecretBox, endpoint: SecretsOwner): Promise<void> {
  const current = (await liveSecrets(tx, box, endpoint)).find(({ expiresAt }) => expiresAt === null);
  if (current?.pair !== null) return;
  const data = sealSecret(box, { ...current, pair: newSigningPair() });
  await tx.endpointSecret.update({ where: { id: current.id }, data, select: { id: true } });
}

/** The public keys that receivers may have to verify with at this moment, of all endpoints. */
export async function livePublicKeys(statements: Statements): Promise<Uint8Array[]> {
  const rows = await statements.$queryRaw<{ publicKey: Uint8Array }[]>`
    SELECT s.public_key AS "publicKey"
    FROM endpoint_secrets s
    JOIN endpoints e ON e.id = s.endpoint_id AND e.deleted_at IS NULL
    WHERE s.public_key IS NOT NULL AND (s.expires_at IS NULL OR s.expires_at > now())
    ORDER BY s.id`;
  return rows.map(({ publicKey }) => publicKey);
}

/** Removes the secrets whose overlap is over. Returns how many. */
export function forgetExpiredSecrets(statements: Statements): Promise<number> {
  return statements.$executeRaw`DELETE FROM endpoint_secrets WHERE expires_at <= now()`;
}
