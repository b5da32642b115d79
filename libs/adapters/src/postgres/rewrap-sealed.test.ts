import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { AesGcmSecretBox, sealedPrefix } from '../secrets/aes-gcm-secret-box.js';
import { connectDatabase, type Database } from './database.js';
import { isKeyInUse, rewrapSealed, type RewrapBox } from './rewrap-sealed.js';

const old = { id: 'k1', key: randomBytes(32) };
/** Its id begins with the old one's. */
const fresh = { id: 'k12', key: randomBytes(32) };
const oldBox = new AesGcmSecretBox([old]);
const box = new AesGcmSecretBox([fresh, old]);
const OWNER = '00000000-0000-0000-0000-000000000000';

let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await createTestDatabase();
  database = connectDatabase(db.databaseUrl, 4);
}, 60_000);

beforeEach(async () => {
  await database.$executeRaw`DELETE FROM idempotency_keys`;
  await database.$executeRaw`DELETE FROM audit_chain_key`;
});

afterAll(async () => {
  await database.$disconnect();
  await db.drop();
});

const rowIdOf = (key: string): string => `idempotency_keys/${OWNER}/${key}`;

async function answers(count: number, sealedBy: AesGcmSecretBox): Promise<string[]> {
  const keys = Array.from({ length: count }, (_, at) => `key ${String(at).padStart(5, '0')}`);
  const sealed = keys.map((key) => sealedBy.seal(Buffer.from(`answer to ${key}`), rowIdOf(key)));
  await database.$executeRaw`
    INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, response_sealed)
    SELECT 'header', a.key, ${OWNER}::uuid, '\\x00', a.sealed FROM unnest(${keys}::text[], ${sealed}::bytea[]) AS a (key, sealed)`;
  return keys;
}

async function opened(keys: readonly string[], by: AesGcmSecretBox): Promise<string[]> {
  const rows = await database.$queryRaw<{ key: string; sealed: Uint8Array }[]>`
    SELECT key, response_sealed AS sealed FROM idempotency_keys WHERE key = ANY (${[...keys]}) ORDER BY key`;
  return rows.map(({ key, sealed }) => Buffer.from(by.open(sealed, rowIdOf(key))).toString());
}

function rewrap(by: RewrapBox = box) {
  const progress: [string, number][] = [];
  const options = { box: by, sealedPrefix, progress: (...step: [string, number]) => progress.push(step) };
  return rewrapSealed(database, options).then((result) => ({ ...result, progress }));
}

test('everything is sealed under the first key, in windows, once', async () => {
  const keys = await answers(2_500, oldBox);
  const chainKey = oldBox.seal(Buffer.from('chain key'), 'audit_chain_key/1');
  await database.$executeRaw`INSERT INTO audit_chain_key (id, sealed) VALUES (1, ${chainKey})`;
  expect(await isKeyInUse(database, sealedPrefix('k1'))).toBe(true);
  expect(await isKeyInUse(database, sealedPrefix('k12'))).toBe(false);

  const { progress, ...result } = await rewrap();
  expect(result).toEqual({ rewrapped: 2_501, unopened: [] });
  expect(progress).toEqual([
    ['idempotency_keys.response_sealed', 1_000],
    ['idempotency_keys.response_sealed', 2_000],
    ['idempotency_keys.response_sealed', 2_500],
    ['audit_chain_key.sealed', 1],
  ]);
  expect(await isKeyInUse(database, sealedPrefix('k1'))).toBe(false);
  expect(await isKeyInUse(database, sealedPrefix('k12'))).toBe(true);
  expect(await opened(keys, new AesGcmSecretBox([fresh]))).toEqual(keys.map((key) => `answer to ${key}`));
  expect(await rewrap()).toEqual({ rewrapped: 0, unopened: [], progress: [] });
});

test('what was changed between being read and being replaced stays as it was changed', async () => {
  const [key = ''] = await answers(1, oldBox);
  const changed = oldBox.seal(Buffer.from('changed meanwhile'), rowIdOf(key));
  let isSealed = false;
  const watched: RewrapBox = {
    sealingKeyId: box.sealingKeyId,
    open: (sealed, rowId) => box.open(sealed, rowId),
    seal: (plain, rowId) => {
      isSealed = true;
      return box.seal(plain, rowId);
    },
  };
  // The other writer holds the row when the value has been read and sealed anew, and commits after that.
  const { rewrapping } = await database.$transaction(async (tx) => {
    await tx.$queryRaw`SELECT FROM idempotency_keys FOR UPDATE`;
    const started = { rewrapping: rewrap(watched) };
    await eventually(() => expect(isSealed).toBe(true));
    await tx.$executeRaw`UPDATE idempotency_keys SET response_sealed = ${changed}`;
    return started;
  });
  const { rewrapped, unopened } = await rewrapping;
  expect([rewrapped > 0, unopened]).toEqual([true, []]);
  expect(await opened([key], new AesGcmSecretBox([fresh, old]))).toEqual(['changed meanwhile']);
});

test('what does not open is named and left as it is; everything else is done', async () => {
  const keys = await answers(5, oldBox);
  const strange = new AesGcmSecretBox([{ id: 'k9', key: randomBytes(32) }]).seal(
    Buffer.from('?'),
    rowIdOf(keys[1] ?? ''),
  );
  const foreign = oldBox.seal(Buffer.from('moved'), rowIdOf('another row'));
  await database.$executeRaw`UPDATE idempotency_keys SET response_sealed = ${strange} WHERE key = ${keys[1]}`;
  await database.$executeRaw`UPDATE idempotency_keys SET response_sealed = ${foreign} WHERE key = ${keys[3]}`;
  const name = 'idempotency_keys.response_sealed';
  expect(await rewrap()).toMatchObject({
    rewrapped: 3,
    unopened: [`${name} of ${rowIdOf(keys[1] ?? '')}`, `${name} of ${rowIdOf(keys[3] ?? '')}`],
  });
  expect(await isKeyInUse(database, sealedPrefix('k1'))).toBe(true);
  expect(await isKeyInUse(database, sealedPrefix('k9'))).toBe(true);
});
