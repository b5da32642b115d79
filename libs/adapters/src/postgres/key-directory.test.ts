import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { insertApiKey, KeyDirectory, revokeApiKey } from './api-keys.js';
import { connectDatabase, type Database } from './database.js';

let db: TestDatabase;
let database: Database;
let merchantId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  database = connectDatabase(db.databaseUrl, 4);
  ({ id: merchantId } = await database.merchant.create({ data: { id: randomUUID(), name: 'M' } }));
}, 60_000);

afterAll(async () => {
  await database.$disconnect();
  await db.drop();
});

async function addKey(
  fields: { merchantId?: string; expiresAt?: Date } = {},
): Promise<{ id: string; keyHash: Buffer<ArrayBuffer> }> {
  const key = { id: randomUUID(), keyHash: Buffer.from(randomBytes(32)) };
  const defaults = {
    merchantId: null,
    expiresAt: null,
    name: 'k',
    prefix: 'phk_',
    scopes: ['webhooks:read'] as const,
  };
  await insertApiKey(database, { ...key, ...defaults, ...fields });
  return key;
}

test('many at once are answered in their order, the dead and the unknown with null', async () => {
  const platform = await addKey();
  const merchants = await addKey({ merchantId });
  const expired = await addKey({ expiresAt: new Date(Date.now() - 1) });
  const revoked = await addKey();
  await revokeApiKey(database, { merchantId: null }, revoked.id);
  const hashes = [
    merchants,
    expired,
    platform,
    revoked,
    { keyHash: Buffer.from(randomBytes(32)) },
    platform,
  ].map(({ keyHash }) => keyHash);
  const directory = new KeyDirectory(database);
  const found = await Promise.all(hashes.map((hash) => directory.find(hash)));
  expect(found.map((principal) => principal?.keyId ?? null)).toEqual([
    merchants.id,
    null,
    platform.id,
    null,
    null,
    platform.id,
  ]);
  expect(found[0]).toMatchObject({ merchantId, scopes: ['webhooks:read'], keyHash: hashes[0] });
  expect(found[2]).toMatchObject({ merchantId: null });
});

test('one that was asked for before it was revoked is dead to whoever asks after', async () => {
  const { id, keyHash } = await addKey();
  const directory = new KeyDirectory(database);
  expect(await directory.find(keyHash)).not.toBeNull();
  await revokeApiKey(database, { merchantId: null }, id);
  expect(await directory.find(keyHash)).toBeNull();
});

test('findMany sees what its transaction sees', async () => {
  const { id, keyHash } = await addKey();
  const directory = new KeyDirectory(database);
  await database.$transaction(async (transaction) => {
    await revokeApiKey(transaction, { merchantId: null }, id);
    expect(await directory.findMany([keyHash], transaction)).toEqual([null]);
    expect(await directory.findMany([keyHash])).toMatchObject([{ keyId: id }]);
  });
});
