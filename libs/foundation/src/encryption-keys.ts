import type { CanaryKey } from '#adapters/postgres/encryption-canary.js';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import type { ServiceConfiguration } from '#config/environment.js';

type EncryptionKeys = ServiceConfiguration['encryptionKeys'];

/** The keys one by one, to be checked against the database. */
export function canaryKeys([first, ...rest]: EncryptionKeys): [CanaryKey, ...CanaryKey[]] {
  return [canaryKey(first), ...rest.map(canaryKey)];
}

function canaryKey(key: EncryptionKeys[number]): CanaryKey {
  return { id: key.id, box: new AesGcmSecretBox([key]) };
}
