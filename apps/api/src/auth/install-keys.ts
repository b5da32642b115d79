import { installEnvironmentKey } from '#adapters/postgres/api-keys.js';
import type { Database } from '#adapters/postgres/database.js';
import { checkEncryptionKeys } from '#adapters/postgres/encryption-canary.js';
import { AesGcmSecretBox, type EncryptionKey } from '#adapters/secrets/aes-gcm-secret-box.js';
import { hashApiKey, isPlausibleApiKey, shownPrefix } from '#adapters/secrets/api-key-text.js';
import type { IdMaker } from '#domain/ids.js';

/** POSTHORN_PLATFORM_KEY cannot be used. `message` is one line, fit to be shown as it is. */
export class PlatformKeyError extends Error {
  override readonly name = 'PlatformKeyError';
}

export interface KeysAtBoot {
  readonly encryptionKeys: readonly EncryptionKey[];
  /** null: the environment names none, and the one it named before stays as it is. */
  readonly platformKey: string | null;
}

/**
 * What a process does with its keys at boot: proves that the encryption keys fit the database, and makes the platform
 * key of the environment the one that is in force.
 *
 * @throws {EncryptionKeyMismatch}
 * @throws {PlatformKeyError} when the key has the form of a generated one and a wrong checksum: a copy gone wrong
 */
export async function installKeys(
  database: Database,
  { encryptionKeys, platformKey }: KeysAtBoot,
  ids: IdMaker,
): Promise<void> {
  if (platformKey !== null && !isPlausibleApiKey(platformKey)) {
    throw new PlatformKeyError(
      'POSTHORN_PLATFORM_KEY looks like a generated key that was copied with a mistake',
    );
  }
  await checkEncryptionKeys(
    database,
    encryptionKeys.map((key) => ({ id: key.id, box: new AesGcmSecretBox([key]) })),
  );
  await installPlatformKey(database, platformKey, ids);
}

export async function installPlatformKey(database: Database, platformKey: string | null, ids: IdMaker): Promise<void> {
  if (platformKey === null) return;
  await installEnvironmentKey(database, {
    id: ids.uuid(),
    keyHash: hashApiKey(platformKey),
    prefix: shownPrefix(platformKey),
  });
}
