import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';
import { isPlausibleApiKey } from '#adapters/secrets/api-key-text.js';
import { generatedKeys } from './generated-keys.js';

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'posthorn-test-keys-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true });
});

test('makes keys of the documented form once, and reads the same ones ever after', async () => {
  const made = await generatedKeys(dataDir);
  expect(made).toMatchObject({ platformKeyIsNew: true, encryptionKeysAreNew: true });
  // With the checksum that lets scanners and the API tell a real key from a mistyped one.
  expect(made.platformKey).toMatch(/^phk_[0-9a-z]{39}$/);
  expect(isPlausibleApiKey(made.platformKey)).toBe(true);
  const [id, key] = made.encryptionKeys.split(':');
  expect(id).toMatch(/^\w+$/);
  expect(Buffer.from(key ?? '', 'base64')).toHaveLength(32);

  const read = await generatedKeys(dataDir);
  expect(read).toEqual({ ...made, platformKeyIsNew: false, encryptionKeysAreNew: false });
});

test('the files are for their owner only, and no draft of them stays', async () => {
  await generatedKeys(dataDir);
  expect((await readdir(dataDir)).sort()).toEqual(['encryption-keys', 'platform-key']);
  for (const name of await readdir(dataDir)) {
    expect((await stat(join(dataDir, name))).mode & 0o777).toBe(0o600);
  }
});

test('processes that start at once agree on the keys, and one of them has made them', async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => generatedKeys(dataDir)));
  expect(new Set(all.map((keys) => `${keys.platformKey} ${keys.encryptionKeys}`)).size).toBe(1);
  expect(all.filter((keys) => keys.platformKeyIsNew)).toHaveLength(1);
});

test('an empty file is not taken for a key, and not replaced', async () => {
  await writeFile(join(dataDir, 'encryption-keys'), '\n');
  await expect(generatedKeys(dataDir)).rejects.toThrow(StartupError);
  expect(await readFile(join(dataDir, 'encryption-keys'), 'utf8')).toBe('\n');
});
