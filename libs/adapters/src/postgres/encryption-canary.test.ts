import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { SecretBox } from '#pipeline/secret-box.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { connectDatabase, type Database } from './database.js';
import {
  checkEncryptionKeys,
  EncryptionKeyMismatch,
  retireKeys,
  type CanaryKey,
} from './encryption-canary.js';

let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await createTestDatabase();
  database = connectDatabase(db.databaseUrl, 4);
}, 60_000);

beforeEach(async () => {
  await database.encryptionCanary.deleteMany();
});

afterAll(async () => {
  await database.$disconnect();
  await db.drop();
});

/** A box that opens only what one of the same mark has sealed for the same row. */
function keyOf(id: string, mark = randomBytes(8).toString('hex')): CanaryKey {
  const label = (rowId: string): Buffer => Buffer.from(`${mark} ${rowId} `);
  const box: SecretBox = {
    seal: (plain, rowId) => Buffer.concat([label(rowId), plain]),
    open: (sealed, rowId) => {
      const expected = label(rowId);
      if (!expected.equals(sealed.subarray(0, expected.length))) throw new Error('does not open');
      return sealed.subarray(expected.length);
    },
  };
  return { id, box };
}

const idsThere = async (): Promise<string[]> =>
  (await database.encryptionCanary.findMany({ orderBy: { keyId: 'asc' } })).map(({ keyId }) => keyId);

test('the first boot leaves a canary for each key, and later boots find it', async () => {
  const keys = [keyOf('a'), keyOf('b')] as const;
  await checkEncryptionKeys(database, keys);
  expect(await idsThere()).toEqual(['a', 'b']);
  await checkEncryptionKeys(database, keys);
});

test('a key that has only opened so far may be missing, and may not be another one', async () => {
  const [a, b] = [keyOf('a'), keyOf('b')];
  await checkEncryptionKeys(database, [a, b]);
  await checkEncryptionKeys(database, [a]);
  await expect(checkEncryptionKeys(database, [a, keyOf('b')])).rejects.toThrow('the key b is not the key b');
});

test('a key that has sealed may not be missing, whatever comes first now', async () => {
  const [a, b] = [keyOf('a'), keyOf('b')];
  await checkEncryptionKeys(database, [a]);
  await checkEncryptionKeys(database, [a, b]);
  await checkEncryptionKeys(database, [b, a]);
  await checkEncryptionKeys(database, [a, b]);
  await expect(checkEncryptionKeys(database, [a])).rejects.toThrow('still needs: b (');
  await expect(checkEncryptionKeys(database, [b])).rejects.toThrow('still needs: a (');
});

test('a key that nothing needs is retired, and from then on it is refused alone', async () => {
  const [a, b] = [keyOf('a'), keyOf('b')];
  await checkEncryptionKeys(database, [a]);
  await checkEncryptionKeys(database, [b, a]);
  const needing = (needed: string) => (_: unknown, keyId: string) => Promise.resolve(keyId === needed);
  expect(await retireKeys(database, 'b', needing('a'))).toEqual({ retired: [], needed: ['a'] });
  expect(await idsThere()).toEqual(['a', 'b']);
  expect(await retireKeys(database, 'b', needing(''))).toEqual({ retired: ['a'], needed: [] });
  expect(await idsThere()).toEqual(['b']);
  await checkEncryptionKeys(database, [b]);
  await expect(checkEncryptionKeys(database, [a])).rejects.toThrow(/has none of the keys .*: b$/);

  // One that was not restarted seals under it still.
  await checkEncryptionKeys(database, [b, a]);
  expect(await retireKeys(database, 'b', needing(''))).toEqual({ retired: [], needed: [] });
  expect(await retireKeys(database, 'b', needing('a'))).toEqual({ retired: [], needed: ['a'] });
  await expect(checkEncryptionKeys(database, [b])).rejects.toThrow('still needs: a (');
});

test('another key under a known id is refused by name', async () => {
  await checkEncryptionKeys(database, [keyOf('a')]);
  const other = checkEncryptionKeys(database, [keyOf('a')]);
  await expect(other).rejects.toThrow(EncryptionKeyMismatch);
  await expect(other).rejects.toThrow('the key a is not the key a that this database was sealed under');
});

test('only unknown keys are refused: all that is sealed would be lost', async () => {
  await checkEncryptionKeys(database, [keyOf('a')]);
  await expect(checkEncryptionKeys(database, [keyOf('c')])).rejects.toThrow(/has none of the keys .*: a$/);
  expect(await idsThere()).toEqual(['a']);
});

test('of processes that boot an empty database with different keys, one wins', async () => {
  const boots = await Promise.allSettled(
    ['a', 'b', 'c'].map((id) => checkEncryptionKeys(database, [keyOf(id)])),
  );
  expect(boots.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(await idsThere()).toHaveLength(1);
});
