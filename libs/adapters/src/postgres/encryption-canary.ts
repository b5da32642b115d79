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
 * Proves at boot that the encryption keys are the ones that this database's secrets were sealed under. A key that is new
 * here leaves a sealed canary; one that is not must open the canary that stands there. Rows may need every key that has
 * been the first one, which seals, until {@link retireKeys} has found that none does: each of these must be given.
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
    const canaryOf = new Map(canaries.map((canary) => [canary.keyId, canary]));
    assertNoneMissing(
      canaries.filter(({ hasSealed }) => hasSealed).map(({ keyId }) => keyId),
      keys,
    );
    for (const [at, key] of keys.entries()) {
      const isSealing = at === 0;
      const canary = canaryOf.get(key.id);
      if (canary === undefined) {
        const sealed = key.box.seal(CANARY, canaryRowId(key.id));
        await transaction.encryptionCanary.create({ data: { keyId: key.id, sealed, hasSealed: isSealing } });
        continue;
      }
      assertOpens(key, canary.sealed);
      if (!isSealing || canary.hasSealed) continue;
      await transaction.encryptionCanary.update({ where: { keyId: key.id }, data: { hasSealed: true } });
    }
  });
}

function assertNoneMissing(needed: readonly string[], keys: readonly CanaryKey[]): void {
  const missing = needed.filter((keyId) => !keys.some(({ id }) => id === keyId));
  if (missing.length === 0) return;
  throw new EncryptionKeyMismatch(
    missing.length === needed.length
      ? `POSTHORN_ENCRYPTION_KEYS has none of the keys that this database was sealed under: ${missing.join(', ')}`
      : `POSTHORN_ENCRYPTION_KEYS lacks keys that this database still needs: ${missing.join(', ')} (npm run keys:rewrap makes them superfluous)`,
  );
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
      for (const { keyId, hasSealed } of canaries) {
        if (keyId === sealingKeyId) continue;
        if (await isNeeded(transaction, keyId)) needed.push(keyId);
        else if (hasSealed) retired.push(keyId);
      }
      await transaction.encryptionCanary.deleteMany({ where: { keyId: { in: retired } } });
      // A process that was not restarted may have gone on sealing under a key that was retired before.
      await transaction.encryptionCanary.updateMany({
        where: { keyId: { in: needed } },
        data: { hasSealed: true },
      });
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
