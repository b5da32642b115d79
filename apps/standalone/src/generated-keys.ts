import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { generateApiKey } from '#adapters/secrets/api-key-text.js';
import { openDataDirectory } from './data-directory.js';
import { readOrMakePrivateFile } from './private-file.js';

/** The key length of AES-256. */
const ENCRYPTION_KEY_BYTES = 32;

/** Bytes of an encryption key's id, which only has to differ from those of the operator's other keys. */
const ENCRYPTION_KEY_ID_BYTES = 4;

export interface GeneratedKeys {
  readonly platformKey: string;
  /** In the form of POSTHORN_ENCRYPTION_KEYS: `id:base64key`. */
  readonly encryptionKeys: string;
  /** Whether this call made the platform key, which is then to be shown: it is not shown again. */
  readonly platformKeyIsNew: boolean;
  readonly encryptionKeysAreNew: boolean;
}

/**
 * Reads the keys that standalone keeps in its data directory, and makes those that are missing. Each file is readable by
 * its owner only and is never overwritten: a lost encryption key would make every sealed secret unreadable.
 *
 * @throws StartupError when the directory or a file cannot be read or written
 */
export async function generatedKeys(dataDir: string): Promise<GeneratedKeys> {
  const directory = await openDataDirectory(dataDir);
  const encryption = await readOrMakePrivateFile(join(directory, 'encryption-keys'), newEncryptionKey);
  const platform = await readOrMakePrivateFile(join(directory, 'platform-key'), () =>
    generateApiKey(randomBytes),
  );
  return {
    platformKey: platform.content,
    encryptionKeys: encryption.content,
    platformKeyIsNew: platform.isNew,
    encryptionKeysAreNew: encryption.isNew,
  };
}

function newEncryptionKey(): string {
  const id = `k${randomBytes(ENCRYPTION_KEY_ID_BYTES).toString('hex')}`;
  return `${id}:${randomBytes(ENCRYPTION_KEY_BYTES).toString('base64')}`;
}
