import type { Configuration, ServiceConfiguration } from '#config/environment.js';
import { parseEncryptionKeys } from '#config/environment.js';
import type { GeneratedKeys } from './generated-keys.js';

/** The configuration of a service, with what the environment left open filled in from the data directory. */
export function withGeneratedKeys(
  configuration: Configuration,
  keys: GeneratedKeys,
  databaseUrl: string,
): ServiceConfiguration {
  const [first, ...rest] = configuration.encryptionKeys;
  return {
    ...configuration,
    databaseUrl,
    platformKey: configuration.platformKey ?? keys.platformKey,
    encryptionKeys: first === undefined ? parseEncryptionKeys(keys.encryptionKeys) : [first, ...rest],
  };
}
