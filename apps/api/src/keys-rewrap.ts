import { randomBytes } from 'node:crypto';
import { connectDatabase } from '#adapters/postgres/database.js';
import { checkEncryptionKeys, retireKeys } from '#adapters/postgres/encryption-canary.js';
import { learnClock } from '#adapters/postgres/learn-clock.js';
import { isKeyInUse, rewrapSealed } from '#adapters/postgres/rewrap-sealed.js';
import { writeAudit } from '#adapters/postgres/write-audit.js';
import { AesGcmSecretBox, sealedPrefix } from '#adapters/secrets/aes-gcm-secret-box.js';
import { readEnvironment } from '#config/environment.js';
import { canaryKeys } from '#foundation/encryption-keys.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';
import { IdMaker } from '#domain/ids.js';
import { DatabaseClock } from '#pipeline/database-clock.js';

/** The batches follow each other. */
const CONNECTIONS_MAX = 1;

/** @returns whether everything is sealed under the first key now, and no other key is needed */
async function rewrapKeys(): Promise<boolean> {
  const { databaseUrl, encryptionKeys } = readEnvironment('api', process.env);
  const database = connectDatabase(databaseUrl, CONNECTIONS_MAX);
  try {
    await checkEncryptionKeys(database, canaryKeys(encryptionKeys));
    const box = new AesGcmSecretBox(encryptionKeys);
    const { rewrapped, unopened } = await rewrapSealed(database, {
      box,
      sealedPrefix,
      progress: (column, count) => console.log(`${column}: ${count} sealed anew`),
    });
    for (const row of unopened) console.error(`No key opens ${row}.`);
    const { retired, needed } = await retireKeys(database, box.sealingKeyId, (statements, keyId) =>
      isKeyInUse(statements, sealedPrefix(keyId)),
    );
    if (rewrapped > 0 || retired.length > 0) {
      const clock = new DatabaseClock();
      await learnClock(database, clock);
      await writeAudit(database, {
        id: new IdMaker(() => clock.nowMs(), randomBytes).uuid(),
        action: 'encryption_keys.rewrapped',
        keyId: null,
        merchantId: null,
        target: box.sealingKeyId,
        payload: { address: null, request_id: null, before: null, after: { rewrapped, retired, needed } },
      });
    }
    const given = encryptionKeys.map(({ id }) => id).filter((id) => id !== box.sealingKeyId);
    const free = given.filter((id) => !needed.includes(id));
    console.log(`${rewrapped} values were sealed anew under ${box.sealingKeyId}.`);
    if (free.length > 0)
      console.log(`No longer in use, and to be removed from POSTHORN_ENCRYPTION_KEYS: ${free.join(', ')}`);
    if (needed.length > 0)
      console.error(
        `Still in use: ${needed.join(', ')}. Something still seals under it, or does not open: restart every process with ${box.sealingKeyId} as its first key and run this again.`,
      );
    return needed.length === 0 && unopened.length === 0;
  } finally {
    await database.$disconnect();
  }
}

try {
  if (!(await rewrapKeys())) process.exitCode = 1;
} catch (error) {
  tellStartupError(error);
  process.exit(1);
}
