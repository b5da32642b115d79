import { MicroBatch } from '#pipeline/micro-batch.js';
import type { Database, Statements } from './database.js';
import type { ApiKey, Prisma } from './generated/client.js';
import { writeAudit } from './write-audit.js';

export type { ApiKey };

/** What a key may do. `events:write` and `admin` are for platform keys only. */
export const PLATFORM_SCOPES = [
  'events:write',
  'admin',
  'webhooks:read',
  'webhooks:write',
  'deliveries:read',
  'deliveries:retry',
  'secrets:read',
] as const;
export type Scope = (typeof PLATFORM_SCOPES)[number];

export const MERCHANT_SCOPES = [
  'webhooks:read',
  'webhooks:write',
  'deliveries:read',
  'deliveries:retry',
  'secrets:read',
] as const satisfies readonly Scope[];

/** Who a request comes from. */
export interface Principal {
  /** UUID. */
  readonly keyId: string;
  /** UUID of the one merchant that the key is for; null: a platform key, which may act for any. */
  readonly merchantId: string | null;
  readonly scopes: readonly Scope[];
  /** SHA-256 of the key, to look it up again with {@link KeyDirectory.findMany}. */
  readonly keyHash: Uint8Array<ArrayBuffer>;
}

/** One statement serves all requests of a turn of the event loop; under load that is hundreds. */
const LOOKUPS_PER_STATEMENT_MAX = 500;
/** A second one, so that a slow statement does not hold up everybody who comes after it. */
const STATEMENTS_MAX = 2;
/** However many guess at once, they take turns at one connection, and nobody else waits behind them. */
const SUSPECT_STATEMENTS_MAX = 1;

/**
 * The keys that are live at this moment: known, not revoked, not expired, and not of a merchant that is being erased.
 * Nothing is remembered between requests, so a revoked key is refused from the next request on, in every process.
 */
export class KeyDirectory {
  readonly #database: Database;
  readonly #lookups: MicroBatch<Uint8Array<ArrayBuffer>, Principal | null>;
  readonly #suspectLookups: MicroBatch<Uint8Array<ArrayBuffer>, Principal | null>;

  constructor(database: Database) {
    this.#database = database;
    const run = (hashes: readonly Uint8Array<ArrayBuffer>[]): Promise<(Principal | null)[]> =>
      this.findMany(hashes);
    this.#lookups = new MicroBatch({ run, itemsMax: LOOKUPS_PER_STATEMENT_MAX, runsMax: STATEMENTS_MAX });
    this.#suspectLookups = new MicroBatch({
      run,
      itemsMax: LOOKUPS_PER_STATEMENT_MAX,
      runsMax: SUSPECT_STATEMENTS_MAX,
    });
  }

  /**
   * The owner of a live key, or null.
   * @param keyHash SHA-256 of the key
   */
  find(keyHash: Uint8Array<ArrayBuffer>): Promise<Principal | null> {
    return this.#lookups.add(keyHash);
  }

  /** As {@link find}, in a queue of its own, for whoever has sent too many keys that are none. */
  findForSuspect(keyHash: Uint8Array<ArrayBuffer>): Promise<Principal | null> {
    return this.#suspectLookups.add(keyHash);
  }

  /**
   * The owners of live keys, in the order of the hashes; null for each that is not live.
   * @param statements a transaction, to confirm inside it what was known before it
   */
  async findMany(
    hashes: readonly Uint8Array<ArrayBuffer>[],
    statements: Statements = this.#database,
  ): Promise<(Principal | null)[]> {
    const rows = await statements.$queryRaw<PrincipalRow[]>`
      SELECT k.id, k.merchant_id, k.scopes, k.key_hash
      FROM api_keys k LEFT JOIN merchants m ON m.id = k.merchant_id
      WHERE k.key_hash = ANY (${[...hashes]}::bytea[])
        AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
        AND (k.merchant_id IS NULL OR m.status = 'active')`;
    const byHash = new Map(rows.map((row) => [hex(row.key_hash), row]));
    return hashes.map((keyHash) => {
      const row = byHash.get(hex(keyHash));
      return row ? { keyId: row.id, merchantId: row.merchant_id, scopes: row.scopes, keyHash } : null;
    });
  }
}

interface PrincipalRow {
  readonly id: string;
  readonly merchant_id: string | null;
  readonly scopes: Scope[];
  readonly key_hash: Uint8Array;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

export interface NewApiKey {
  /** UUID. */
  readonly id: string;
  /** UUID; null for a platform key. */
  readonly merchantId: string | null;
  readonly name: string;
  readonly prefix: string;
  readonly keyHash: Uint8Array<ArrayBuffer>;
  readonly scopes: readonly Scope[];
  readonly expiresAt: Date | null;
}

export function insertApiKey(database: Pick<Database, 'apiKey'>, key: NewApiKey): Promise<ApiKey> {
  return database.apiKey.create({ data: { ...key, scopes: [...key.scopes] } });
}

/** Newest first, revoked ones left out. */
export function listApiKeys(
  database: Pick<Database, 'apiKey'>,
  owner: { readonly merchantId: string | null },
  page: { readonly beforeId: string | null; readonly rowsMax: number },
): Promise<ApiKey[]> {
  const where: Prisma.ApiKeyWhereInput = { merchantId: owner.merchantId, revokedAt: null };
  if (page.beforeId !== null) where.id = { lt: page.beforeId };
  return database.apiKey.findMany({ where, orderBy: { id: 'desc' }, take: page.rowsMax });
}

export function findApiKey(
  database: Pick<Database, 'apiKey'>,
  owner: { readonly merchantId: string | null },
  id: string,
): Promise<ApiKey | null> {
  return database.apiKey.findFirst({ where: { id, merchantId: owner.merchantId, revokedAt: null } });
}

/** @returns whether there was such a key that was not revoked already */
export async function revokeApiKey(
  database: Pick<Database, 'apiKey'>,
  owner: { readonly merchantId: string | null },
  id: string,
): Promise<boolean> {
  const { count } = await database.apiKey.updateMany({
    where: { id, merchantId: owner.merchantId, revokedAt: null },
    data: { revokedAt: new Date() },
  });
  return count > 0;
}

/**
 * Makes a key the platform key of the environment, with every scope; the one before it is revoked. Repeatable, and
 * safe when several processes boot at once.
 *
 * @param key its SHA-256 and shown prefix, and the id that it gets when it is new
 * @param auditId of the entry that records it, when it was not in force already
 */
export async function installEnvironmentKey(
  database: Database,
  key: { readonly id: string; readonly keyHash: Uint8Array<ArrayBuffer>; readonly prefix: string },
  auditId: string,
): Promise<void> {
  await database.$transaction(async (transaction) => {
    await transaction.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended('posthorn environment key', 0))`;
    const inForce = await transaction.$queryRaw<unknown[]>`
      SELECT 1 FROM api_keys WHERE key_hash = ${key.keyHash} AND source = 'environment' AND revoked_at IS NULL`;
    await transaction.$executeRaw`
      UPDATE api_keys SET revoked_at = now()
      WHERE source = 'environment' AND revoked_at IS NULL AND key_hash <> ${key.keyHash}`;
    await transaction.$executeRaw`
      INSERT INTO api_keys (id, merchant_id, name, prefix, key_hash, scopes, source)
      VALUES (${key.id}::uuid, NULL, 'environment', ${key.prefix}, ${key.keyHash}, ${[...PLATFORM_SCOPES]}::text[], 'environment')
      ON CONFLICT (key_hash) DO UPDATE
      SET source = 'environment', merchant_id = NULL, scopes = excluded.scopes, revoked_at = NULL, expires_at = NULL`;
    if (inForce.length > 0) return;
    await writeAudit(transaction, {
      id: auditId,
      action: 'environment_key.installed',
      keyId: null,
      merchantId: null,
      target: null,
      payload: { address: null, request_id: null, before: null, after: { prefix: key.prefix } },
    });
  });
}
