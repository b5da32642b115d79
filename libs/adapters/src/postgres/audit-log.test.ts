// The audit log on a real PostgreSQL: what the database itself refuses, the sealer among others and beside late commits, and
// every way of tampering that a superuser has. Doubled: nothing.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { formatId, ID_PREFIXES, IdMaker } from '#domain/ids.js';
import { createTestDatabase, type TestDatabase } from '#testkit/postgres.js';
import { AesGcmSecretBox } from '../secrets/aes-gcm-secret-box.js';
import { AuditChainKeyMissing, auditHead, type AuditHead, sealAuditLog } from './audit-chain.js';
import { connectDatabase, type Database } from './database.js';
import { eraseAuditPayloads } from './erase-audit-payloads.js';
import { verifyAuditLog } from './verify-audit.js';
import { type AuditEntry, writeAudit } from './write-audit.js';

const ids = new IdMaker(Date.now, randomBytes);
const box = new AesGcmSecretBox([{ id: 'test', key: randomBytes(32) }]);
const MERCHANT = ids.uuid();
const OTHER = ids.uuid();
const MANY = 10_000;

let db: TestDatabase;
let database: Database;
let superuser: pg.Client;

beforeAll(async () => {
  db = await createTestDatabase();
  database = connectDatabase(db.databaseUrl, 6);
  superuser = new pg.Client({ connectionString: db.databaseUrl });
  await superuser.connect();
}, 60_000);

// The chain is one for all of a database.
beforeEach(() => tamper('DELETE FROM audit_log', 'DELETE FROM audit_chain_key'));

afterAll(async () => {
  await superuser.end();
  await database.$disconnect();
  await db.drop();
});

function entryOf(entry: Partial<AuditEntry> = {}): AuditEntry {
  return {
    id: ids.uuid(),
    action: 'webhook.updated',
    keyId: ids.uuid(),
    merchantId: MERCHANT,
    target: 'wh_01h455vb4pex5vsknk084sn02q',
    payload: { address: '192.0.2.7', request_id: null, before: { url: 'a' }, after: { url: 'b' } },
    ...entry,
  };
}

async function write(count: number, entry: Partial<AuditEntry> = {}): Promise<string[]> {
  const entries = Array.from({ length: count }, () => entryOf(entry));
  for (const one of entries) await writeAudit(database, one);
  return entries.map(({ id }) => id);
}

async function verify(heads: readonly AuditHead[] = []) {
  const findings: string[] = [];
  const verdict = await verifyAuditLog(database, box, heads, (finding) => findings.push(finding));
  expect(verdict.findings).toBe(findings.length);
  return { ...verdict, findings };
}

/** As somebody who may do everything in the database, and knows none of the keys. */
async function tamper(...statements: string[]): Promise<void> {
  await superuser.query('ALTER TABLE audit_log DISABLE TRIGGER ALL');
  for (const statement of statements) await superuser.query(statement);
  await superuser.query('ALTER TABLE audit_log ENABLE TRIGGER ALL');
}

async function stored<Row extends object>(sql: string): Promise<Row[]> {
  return (await superuser.query<Row>(sql)).rows;
}

describe('append-only', () => {
  test.each([
    ['a change', `UPDATE audit_log SET action = 'webhook.deleted'`],
    ['a change of the payload', `UPDATE audit_log SET payload = '{}'`],
    ['half an erasure', `UPDATE audit_log SET payload = NULL`],
    ['an erasure that changes more', `UPDATE audit_log SET payload = NULL, salt = NULL, actor = 'x'`],
    ['a second seal', `UPDATE audit_log SET sequence = 9, chain_mac = '\\x00'`],
    ['taking the seal off', `UPDATE audit_log SET sequence = NULL, chain_mac = NULL`],
    ['a deletion', `DELETE FROM audit_log`],
    ['a truncation', `TRUNCATE audit_log`],
    [
      'an entry that is sealed from the start',
      `INSERT INTO audit_log (id, sequence, actor, action, payload, salt, payload_hash, chain_mac)
       VALUES (gen_random_uuid(), 2, 'system', 'x', '{}', '\\x00', '\\x00', '\\x00')`,
    ],
    [
      'an erasure of what belongs to no merchant',
      `UPDATE audit_log SET payload = NULL, salt = NULL WHERE merchant_id IS NULL`,
    ],
  ])('%s is refused', async (_, statement) => {
    await write(1);
    await write(1, { merchantId: null });
    await sealAuditLog(database, box, MANY);
    const before = await stored('SELECT * FROM audit_log ORDER BY id');
    await expect(superuser.query(statement)).rejects.toThrow(/append-only|check constraint/);
    expect(await stored('SELECT * FROM audit_log ORDER BY id')).toEqual(before);
  });
});

describe('the sealer', () => {
  test('chains everything once, whoever seals beside it', async () => {
    await write(300);
    const sealers = Array.from({ length: 6 }, async () => {
      let sealed = 0;
      for (let empty = 0; empty < 20;) {
        const count = await sealAuditLog(database, box, 40);
        sealed += count;
        empty = count === 0 ? empty + 1 : 0;
      }
      return sealed;
    });
    const sealed = (await Promise.all(sealers)).reduce((sum, count) => sum + count, 0);
    expect(sealed).toBe(300);
    expect(await verify()).toMatchObject({ entries: 300, unsealed: 0, findings: [] });
    expect(await auditHead(database)).toMatchObject({ sequence: 300n });
  });

  test('an entry that is committed late is sealed late', async () => {
    const late = entryOf();
    let commit = (): void => undefined;
    let written = (): void => undefined;
    const mayCommit = new Promise<void>((resolve) => (commit = resolve));
    const isWritten = new Promise<void>((resolve) => (written = resolve));
    const transaction = database.$transaction(async (tx) => {
      await writeAudit(tx, late);
      written();
      await mayCommit;
    });
    await isWritten;
    await write(5);
    expect(await sealAuditLog(database, box, MANY)).toBe(5);
    commit();
    await transaction;
    expect(await sealAuditLog(database, box, MANY)).toBe(1);
    expect(await stored(`SELECT sequence FROM audit_log WHERE id = '${late.id}'`)).toEqual([
      { sequence: '6' },
    ]);
    expect((await verify()).findings).toEqual([]);
  });

  test('what is rolled back leaves neither an entry nor a gap', async () => {
    await write(2);
    const fails = database.$transaction(async (tx) => {
      await writeAudit(tx, entryOf());
      throw new Error('the change failed');
    });
    await expect(fails).rejects.toThrow('the change failed');
    await write(1);
    await sealAuditLog(database, box, MANY);
    expect(await verify()).toMatchObject({ entries: 3, unsealed: 0, findings: [] });
  });

  test('does not begin a new chain where the key of the old one was taken away', async () => {
    await write(1);
    await sealAuditLog(database, box, MANY);
    await tamper('DELETE FROM audit_chain_key');
    await write(1);
    await expect(sealAuditLog(database, box, MANY)).rejects.toThrow(AuditChainKeyMissing);
    expect((await verify()).findings).toEqual([
      expect.stringMatching(/^entry 1 .* the key of the chain is gone/),
    ]);
  });
});

/** Twelve entries, sealed in two runs, and the head as it was logged. */
async function sealedLog(): Promise<AuditHead> {
  await write(7);
  await sealAuditLog(database, box, MANY);
  await write(5, { merchantId: OTHER });
  await sealAuditLog(database, box, MANY);
  return (await auditHead(database)) as AuditHead;
}

describe('tampering', () => {
  const CHANGED = /^entry 4 \(aud_\w{26}\) is not as it was sealed: altered, or moved here$/;
  test.each([
    ['the actor', `actor = 'system'`, [CHANGED]],
    ['the action', `action = 'webhook.deleted'`, [CHANGED]],
    ['the target', `target = NULL`, [CHANGED]],
    ['the key', `key_id = NULL`, [CHANGED]],
    ['the merchant', `merchant_id = '${OTHER}'`, [CHANGED]],
    ['the time', `created_at = created_at + interval '1 ms'`, [CHANGED]],
    ['a time that is none', `created_at = 'infinity'`, [CHANGED]],
    ['the hash of the payload', `payload_hash = sha256('x')`, [CHANGED, /^entry 4 .* has another payload/]],
    ['the payload', `payload = '{}'`, [/^entry 4 .* has another payload than was sealed$/]],
    ['the salt', `salt = '\\x00'`, [/^entry 4 .* has another payload than was sealed$/]],
    ['the payload and its hash', `payload = '{}', payload_hash = sha256(salt || '{}')`, [CHANGED]],
    ['the MAC', `chain_mac = sha256('x')`, [CHANGED]],
    [
      'an erasure that nobody asked for',
      `payload = NULL, salt = NULL`,
      [/^entry 4 .* has lost its payload, and nobody asked for the erasure$/],
    ],
  ])('%s is found, and nothing else is blamed', async (_, change, findings) => {
    await sealedLog();
    await tamper(`UPDATE audit_log SET ${change} WHERE sequence = 4`);
    expect((await verify()).findings).toEqual(findings.map((line) => expect.stringMatching(line)));
  });

  test('a missing entry, and several', async () => {
    const head = await sealedLog();
    await tamper('DELETE FROM audit_log WHERE sequence IN (1, 5, 6)');
    expect((await verify([head])).findings).toEqual(['entry 1 is missing', 'entries 5 to 6 are missing']);
  });

  test('a missing entry whose gap was closed', async () => {
    await sealedLog();
    await tamper(
      'DELETE FROM audit_log WHERE sequence = 5',
      ...[6, 7, 8, 9, 10, 11, 12].map(
        (at) => `UPDATE audit_log SET sequence = ${at - 1} WHERE sequence = ${at}`,
      ),
    );
    const { findings } = await verify();
    expect(findings).toHaveLength(7);
    expect(findings[0]).toMatch(/^entry 5 .* altered, or moved here$/);
  });

  test('two entries in each other’s place', async () => {
    await sealedLog();
    await tamper(
      'UPDATE audit_log SET sequence = -1 WHERE sequence = 3',
      'UPDATE audit_log SET sequence = 3 WHERE sequence = 9',
      'UPDATE audit_log SET sequence = 9 WHERE sequence = -1',
    );
    const { findings } = await verify();
    expect(findings.filter((line) => /^entry [39] .* moved here$/.test(line))).toHaveLength(2);
  });

  test('an entry that was put in with a sequence of its own making', async () => {
    await sealedLog();
    const forged = ids.uuid();
    await tamper(
      `INSERT INTO audit_log (id, sequence, actor, action, payload, salt, payload_hash, chain_mac)
       VALUES ('${forged}', 13, 'system', 'webhook.deleted', '{}', '\\x00', sha256('\\x00'::bytea || '{}'), sha256('x'))`,
    );
    expect((await verify()).findings).toEqual([
      `entry 13 (${formatId(ID_PREFIXES.auditEntry, forged)}) is not as it was sealed: altered, or moved here`,
    ]);
  });

  test('an end that was cut off shows by a head that was logged, also when the log has grown on since', async () => {
    const head = await sealedLog();
    expect((await verify([head])).findings).toEqual([]);
    await tamper('DELETE FROM audit_log WHERE sequence > 9');
    expect((await verify()).findings).toEqual([]);
    expect((await verify([head])).findings).toEqual([
      'the log was cut off: it ends at 9, and the head 12 was logged once',
    ]);
    await write(6);
    await sealAuditLog(database, box, MANY);
    expect(await verify()).toMatchObject({ entries: 15, findings: [] });
    expect((await verify([head])).findings).toEqual([
      'entry 12 is another than the one whose head was logged: the log was cut off before',
    ]);
  });

  test('a log that was emptied', async () => {
    const head = await sealedLog();
    await tamper('DELETE FROM audit_log', 'DELETE FROM audit_chain_key');
    expect(await verify([head])).toMatchObject({ entries: 0, findings: [expect.stringMatching(/cut off/)] });
  });
});

describe('erasure', () => {
  test('takes payloads and salts of one merchant in bounded steps, sealed or not, and the log still verifies', async () => {
    const head = await sealedLog();
    await write(1, { action: 'merchant.erased' });
    const steps = [];
    for (let count = 3; count === 3;) steps.push((count = await eraseAuditPayloads(database, MERCHANT, 3)));
    expect(steps).toEqual([3, 3, 2]);
    await sealAuditLog(database, box, MANY);
    expect(await verify([head])).toMatchObject({ entries: 13, erased: 8, unsealed: 0, findings: [] });
    expect(
      await stored(`SELECT merchant_id, count(payload)::int AS payloads, count(salt)::int AS salts, count(*)::int AS entries
                    FROM audit_log GROUP BY 1 ORDER BY 4`),
    ).toEqual([
      { merchant_id: OTHER, payloads: 5, salts: 5, entries: 5 },
      { merchant_id: MERCHANT, payloads: 0, salts: 0, entries: 8 },
    ]);
    expect(
      await stored(
        `SELECT id FROM audit_log a WHERE a::text LIKE '%192.0.2.7%' AND merchant_id = '${MERCHANT}'`,
      ),
    ).toEqual([]);
  });

  test('what is left of an erased entry is still protected', async () => {
    await sealedLog();
    await write(1, { action: 'merchant.erased' });
    await sealAuditLog(database, box, MANY);
    await eraseAuditPayloads(database, MERCHANT, MANY);
    await tamper(`UPDATE audit_log SET target = 'wh_x' WHERE sequence = 2`);
    expect((await verify()).findings).toEqual([expect.stringMatching(/^entry 2 .* altered/)]);
  });
});

test('a long log is verified in batches', async () => {
  const salt = '\\x00112233445566778899aabbccddeeff';
  await superuser.query(
    `INSERT INTO audit_log (id, actor, action, payload, salt, payload_hash)
     SELECT gen_random_uuid(), 'system', 'webhook.updated', '{}', '${salt}', sha256('${salt}'::bytea || '{}')
     FROM generate_series(1, 5500)`,
  );
  for (let sealed = MANY; sealed > 0;) sealed = await sealAuditLog(database, box, 1_000);
  expect(await verify()).toMatchObject({ entries: 5_500, findings: [], head: { sequence: 5_500n } });
  await tamper('DELETE FROM audit_log WHERE sequence IN (1000, 1001)');
  expect((await verify()).findings).toEqual(['entries 1000 to 1001 are missing']);
});
