import { installEnvironmentKey } from '#adapters/postgres/api-keys.js';
import type { Database } from '#adapters/postgres/database.js';
import { hashApiKey, isPlausibleApiKey, shownPrefix } from '#adapters/secrets/api-key-text.js';
import { ConfigurationError } from '#config/environment.js';
import type { IdMaker } from '#domain/ids.js';

/**
 * Makes the platform key of the environment the one that is in force, and revokes the one that was. Repeatable.
 *
 * @param platformKey null: the environment names none, and the one that it named before stays as it is
 * @throws {ConfigurationError} when the key has the form of a generated one and a wrong checksum: a copy gone wrong
 */
export async function installPlatformKey(
  database: Database,
  platformKey: string | null,
  ids: IdMaker,
): Promise<void> {
  if (platformKey === null) return;
  if (!isPlausibleApiKey(platformKey)) {
    throw new ConfigurationError(
      'POSTHORN_PLATFORM_KEY looks like a generated key that was copied with a mistake.',
    );
  }
  const key = { id: ids.uuid(), keyHash: hashApiKey(platformKey), prefix: shownPrefix(platformKey) };
  await installEnvironmentKey(database, key, ids.uuid());
}
