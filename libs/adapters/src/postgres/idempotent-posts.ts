import type { SecretBox } from '#pipeline/secret-box.js';
import type { Database, Statements } from './database.js';
import type { Prisma } from './generated/client.js';

/** What work is done on: everything in it is committed or nothing is. */
export type Transaction = Prisma.TransactionClient;

/** An answer to a POST: what its work gave, now or when the same request was first made. */
export class PostAnswer {
  constructor(
    readonly status: number,
    readonly body: unknown,
    /** Whether it was given before, and nothing was done now. */
    readonly isReplay = false,
  ) {}
}

/** The key was used before, by a request with other content. */
export class IdempotencyConflict extends Error {
  override readonly name = 'IdempotencyConflict';

  constructor() {
    super('This Idempotency-Key was used before with other content.');
  }
}

/** Long enough for any client's retries; the same as its competitors' users know. */
const IDEMPOTENCY_KEY_TTL_HOURS = 24;
/** Registration looks a name up for 2 s; a second request with the same key waits for the first one as well. */
const TRANSACTION_TIMEOUT_MS = 15_000;
/** How long a request waits for a connection of the pool before the database counts as away. */
const CONNECTION_WAIT_MS = 2_000;
/** Owner of the keys of calls that belong to no one merchant. */
const PLATFORM = '00000000-0000-0000-0000-000000000000';

/** Makes POST safe to repeat: the work of one key is done once, in one transaction with the record that it was. */
export class IdempotentPosts {
  readonly #database: Database;
  readonly #secretBox: SecretBox;

  constructor(database: Database, secretBox: SecretBox) {
    this.#database = database;
    this.#secretBox = secretBox;
  }

  /**
   * Does the work in a transaction and gives its answer. With a key that has been used for the same content, gives
   * the first answer again and does nothing; a second request that comes while the first is under way waits for it.
   * Work that fails rolls back and leaves no trace of the key. Of a merchant that is being erased no key is kept.
   *
   * @param merchantId UUID of the merchant whose keys these are; null for the platform's own
   * @param key the request's Idempotency-Key; null: just the transaction
   * @param contentHash 32 bytes that are equal for requests of the same content
   * @throws {IdempotencyConflict} when the key was used for other content
   */
  run(
    merchantId: string | null,
    key: string | null,
    contentHash: Uint8Array<ArrayBuffer>,
    work: (transaction: Transaction) => Promise<{ readonly status: number; readonly body: unknown }>,
  ): Promise<PostAnswer> {
    return this.#database.$transaction(
      async (transaction) => {
        if (key === null) {
          const { status, body } = await work(transaction);
          return new PostAnswer(status, body);
        }
        const row = { owner: merchantId ?? PLATFORM, key };
        const isClaimed = await this.#claim(transaction, row, contentHash);
        const first = isClaimed ? null : await this.#replay(transaction, row, contentHash);
        if (first !== null) return first;
        const { status, body } = await work(transaction);
        if (isClaimed) await this.#store(transaction, row, status, body);
        return new PostAnswer(status, body);
      },
      { timeout: TRANSACTION_TIMEOUT_MS, maxWait: CONNECTION_WAIT_MS },
    );
  }

  /**
   * The answer that a key has already; null when it has none. For work that must not be done in a transaction: that is
   * done between this and {@link run}, which then only stores its answer.
   *
   * @throws {IdempotencyConflict} when the key was used for other content
   */
  async find(
    merchantId: string | null,
    key: string,
    contentHash: Uint8Array<ArrayBuffer>,
  ): Promise<PostAnswer | null> {
    const row = { owner: merchantId ?? PLATFORM, key };
    const live = await this.#database.$queryRaw<unknown[]>`
      SELECT 1 FROM idempotency_keys
      WHERE kind = 'header' AND key = ${row.key} AND merchant_id = ${row.owner}::uuid AND expires_at > now()`;
    return live.length === 0 ? null : this.#replay(this.#database, row, contentHash);
  }

  /**
   * Waits for another transaction that holds the key.
   * @returns false when the key has an answer already, or its merchant is being erased
   */
  async #claim(
    transaction: Transaction,
    row: KeyRow,
    contentHash: Uint8Array<ArrayBuffer>,
  ): Promise<boolean> {
    const claimed = await transaction.$executeRaw`
      INSERT INTO idempotency_keys (kind, key, merchant_id, content_hash, expires_at)
      SELECT 'header', ${row.key}, ${row.owner}::uuid, ${contentHash}, now() + make_interval(hours => ${IDEMPOTENCY_KEY_TTL_HOURS}::int)
      WHERE ${row.owner}::uuid = ${PLATFORM}::uuid
         OR EXISTS (SELECT FROM merchants WHERE id = ${row.owner}::uuid AND status = 'active')
      ON CONFLICT (kind, key, merchant_id) DO UPDATE
      SET content_hash = excluded.content_hash, created_at = excluded.created_at, expires_at = excluded.expires_at,
          event_ids = NULL, response_status = NULL, response_sealed = NULL
      WHERE idempotency_keys.expires_at <= now()`;
    return claimed > 0;
  }

  /** The answer that the key has; null when it has none. */
  async #replay(transaction: Statements, row: KeyRow, contentHash: Uint8Array): Promise<PostAnswer | null> {
    const [first] = await transaction.$queryRaw<StoredAnswer[]>`
      SELECT content_hash, response_status, response_sealed
      FROM idempotency_keys WHERE kind = 'header' AND key = ${row.key} AND merchant_id = ${row.owner}::uuid`;
    if (first === undefined) return null;
    const { response_sealed: sealed, response_status: status } = first;
    // A key without a stored answer was used by a call that keeps its answer elsewhere (events).
    if (sealed === null || status === null) throw new IdempotencyConflict();
    if (!Buffer.from(first.content_hash).equals(contentHash)) throw new IdempotencyConflict();
    const json = Buffer.from(this.#secretBox.open(sealed, rowId(row))).toString('utf8');
    return new PostAnswer(status, json === '' ? undefined : JSON.parse(json), true);
  }

  async #store(transaction: Transaction, row: KeyRow, status: number, body: unknown): Promise<void> {
    const json = body === undefined ? '' : JSON.stringify(body);
    const sealed = this.#secretBox.seal(Buffer.from(json, 'utf8'), rowId(row));
    await transaction.$executeRaw`
      UPDATE idempotency_keys SET response_status = ${status}, response_sealed = ${sealed}
      WHERE kind = 'header' AND key = ${row.key} AND merchant_id = ${row.owner}::uuid`;
  }
}

interface KeyRow {
  readonly owner: string;
  readonly key: string;
}

interface StoredAnswer {
  readonly content_hash: Uint8Array;
  readonly response_status: number | null;
  readonly response_sealed: Uint8Array | null;
}

function rowId({ owner, key }: KeyRow): string {
  return `idempotency_keys/${owner}/${key}`;
}
