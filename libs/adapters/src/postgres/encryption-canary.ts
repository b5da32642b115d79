import type { SecretBox } from '#pipeline/secret-box.js';
import type { Database } from './database.js';

const CANARY = Buffer.from('posthorn encryption canary, version 1', 'utf8');

/** The encryption keys given do not fit the database. `message` is one line, fit to be shown as it is. */
export class EncryptionKeyMismatch extends Error {
  override readonly name = 'EncryptionKeyMismatch';
}

/** A secret box that can say which keys it holds, and seal with each of them. */
export interface CanaryKey {
  readonly id: string;
  /** Seals and opens with this key only. */
  readonly box: SecretBox;
}

/**
 * Proves at boot that the encryption keys are the ones that this database's secrets were sealed under. A key that has
 * not been seen before leaves a sealed canary; one that has must open the canary that stands there.
 *
 * At least one of the given keys must be known once the database has any canary: otherwise all secrets that are
 * already there could no longer be opened.
 *
 * @throws {EncryptionKeyMismatch}
 */
export async function checkEncryptionKeys(database: Database, keys: readonly CanaryKey[]): Promise<void> {
  await database.$transaction(async (transaction) => {
    // Two processes that boot an empty database with different keys must not both believe that they were first.
    await transaction.$executeRaw`LOCK TABLE encryption_canaries IN SHARE ROW EXCLUSIVE MODE`;
    const canaries = await transaction.encryptionCanary.findMany();
    const sealedByKeyId = new Map(canaries.map((canary) => [canary.keyId, canary.sealed]));
    for (const key of keys) {
      const sealed = sealedByKeyId.get(key.id);
      if (sealed !== undefined) assertOpens(key, sealed);
    }
    if (canaries.length > 0 && !keys.some((key) => sealedByKeyId.has(key.id))) {
      throw new EncryptionKeyMismatch(
        `POSTHORN_ENCRYPTION_KEYS has none of the keys that this database was sealed under: ${[...sealedByKeyId.keys()].sort().join(', ')}`,
      );
    }
    const unseen = keys.filter((key) => !sealedByKeyId.has(key.id));
    if (unseen.length === 0) return;
    await transaction.encryptionCanary.createMany({
      data: unseen.map(({ id, box }) => ({ keyId: id, sealed: box.seal(CANARY, canaryRowId(id)) })),
    });
  });
}

function assertOpens({ id, box }: CanaryKey, sealed: Uint8Array): void {
  try {
    if (CANARY.equals(box.open(sealed, canaryRowId(id)))) return;
  } catch (cause) {
    throw new EncryptionKeyMismatch(
      `POSTHORN_ENCRYPTION_KEYS: the key ${id} is not the key ${id} that this database was sealed under`,
      { cause },
    );
  }
  throw new EncryptionKeyMismatch(
    `POSTHORN_ENCRYPTION_KEYS: the key ${id} opens something else in this database`,
  );
}

function canaryRowId(keyId: string): string {
  return `encryption_canaries/${keyId}`;
}
