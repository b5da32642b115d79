import type { SecretBox } from '#pipeline/secret-box.js';
import type { Database, Statements } from './database.js';

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
 * Proves at boot that the encryption keys are the ones that this database's secrets were sealed under. The first key,
 * which seals, leaves a sealed canary when it is new here. Each canary stands for rows that need its key, until
 * {@link retireKeys} has taken it away: every one must be opened by a key that was given.
 *
 * @param keys the sealing one first
 * @throws {EncryptionKeyMismatch}
 */
export async function checkEncryptionKeys(
  database: Database,
  keys: readonly [CanaryKey, ...CanaryKey[]],
): Promise<void> {
  await database.$transaction(async (transaction) => {
    // Two processes that boot an empty database with different keys must not both believe that they were first.
    await transaction.$executeRaw`LOCK TABLE encryption_canaries IN SHARE ROW EXCLUSIVE MODE`;
    const canaries = await transaction.encryptionCanary.findMany({ orderBy: { keyId: 'asc' } });
    const keysById = new Map(keys.map((key) => [key.id, key]));
    const missing = canaries.map(({ keyId }) => keyId).filter((keyId) => !keysById.has(keyId));
    if (missing.length > 0 && missing.length === canaries.length) {
      throw new EncryptionKeyMismatch(
        `POSTHORN_ENCRYPTION_KEYS has none of the keys that this database was sealed under: ${missing.join(', ')}`,
      );
    }
    if (missing.length > 0) {
      throw new EncryptionKeyMismatch(
        `POSTHORN_ENCRYPTION_KEYS lacks keys that this database still needs: ${missing.join(', ')} (npm run keys:rewrap makes them superfluous)`,
      );
    }
    for (const { keyId, sealed } of canaries) {
      const key = keysById.get(keyId);
      if (key !== undefined) assertOpens(key, sealed);
    }
    const [{ id, box }] = keys;
    if (canaries.some(({ keyId }) => keyId === id)) return;
    await transaction.encryptionCanary.create({
      data: { keyId: id, sealed: box.seal(CANARY, canaryRowId(id)) },
    });
  });
}

/**
 * Takes away the canaries of keys that nothing needs any more, so that a boot without these keys is admitted, and one
 * with them alone refused. No process can boot meanwhile.
 *
 * @param sealingKeyId the key that stays
 * @param isNeeded whether a row is left that was sealed under a key
 * @returns ids of the keys that may be forgotten, and of those that may not
 */
export async function retireKeys(
  database: Database,
  sealingKeyId: string,
  isNeeded: (statements: Statements, keyId: string) => Promise<boolean>,
): Promise<{ readonly retired: readonly string[]; readonly needed: readonly string[] }> {
  return database.$transaction(
    async (transaction) => {
      await transaction.$executeRaw`LOCK TABLE encryption_canaries IN SHARE ROW EXCLUSIVE MODE`;
      const canaries = await transaction.encryptionCanary.findMany({ orderBy: { keyId: 'asc' } });
      const retired: string[] = [];
      const needed: string[] = [];
      for (const { keyId } of canaries) {
        if (keyId === sealingKeyId) continue;
        if (await isNeeded(transaction, keyId)) needed.push(keyId);
        else retired.push(keyId);
      }
      await transaction.encryptionCanary.deleteMany({ where: { keyId: { in: retired } } });
      return { retired, needed };
    },
    { timeout: RETIRE_TIMEOUT_MS },
  );
}

/** A look through each table that holds sealed values, for each old key. */
const RETIRE_TIMEOUT_MS = 60_000;

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
