import { MicroBatch } from '#pipeline/micro-batch.js';
import { type BucketAnswer, BURST_SECONDS, type RequestBuckets } from '#pipeline/request-buckets.js';
import type { Database, Statements } from './database.js';

/** One statement serves all requests of the moment, as with the look-up of their keys. */
const REQUESTS_PER_STATEMENT_MAX = 1_000;
const STATEMENTS_MAX = 2;
/** Rows count in millionths of a request. */
const REQUEST = 1_000_000;
const BURST_US = BURST_SECONDS * 1_000_000;

/** Buckets in PostgreSQL, by its clock. */
export class PostgresRequestBuckets implements RequestBuckets {
  readonly #batch: MicroBatch<string, BucketAnswer>;

  /** @param perSecond a positive integer */
  constructor(database: Database, perSecond: number) {
    this.#batch = new MicroBatch({
      run: (keyIds) => takeRequests(database, keyIds, perSecond),
      itemsMax: REQUESTS_PER_STATEMENT_MAX,
      runsMax: STATEMENTS_MAX,
    });
  }

  take(keyId: string): Promise<BucketAnswer> {
    return this.#batch.add(keyId);
  }
}

/** Answers in the order of the keys. Of several requests of one key, the first ones get what there is. */
async function takeRequests(
  statements: Statements,
  keyIds: readonly string[],
  perSecond: number,
): Promise<BucketAnswer[]> {
  const wanted = new Map<string, number>();
  for (const keyId of keyIds) wanted.set(keyId, (wanted.get(keyId) ?? 0) + 1);
  const burst = perSecond * BURST_SECONDS;
  const rows = await statements.$queryRaw<BucketRow[]>`
    INSERT INTO request_buckets AS bucket (api_key_id, debt, counted_at_us, granted)
    SELECT key_id, least(wanted, ${burst}::integer) * ${REQUEST}::bigint,
      (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, least(wanted, ${burst}::integer)
    FROM unnest(${[...wanted.keys()]}::uuid[], ${[...wanted.values()]}::integer[]) AS asked (key_id, wanted)
    ORDER BY key_id
    ON CONFLICT (api_key_id) DO UPDATE SET (debt, counted_at_us, granted) = (
      SELECT left_over + grantable * ${REQUEST}::bigint, now_us, grantable
      FROM (
        SELECT now_us, left_over,
          least(excluded.granted, (${burst}::bigint * ${REQUEST}::bigint - left_over) / ${REQUEST}::bigint)::integer AS grantable
        FROM (
          -- After the wait for the row, so that time is counted in the order in which the bucket is taken from.
          SELECT now_us, least(${burst}::bigint * ${REQUEST}::bigint, greatest(0, bucket.debt - ${perSecond}::bigint
            * least(greatest(now_us - bucket.counted_at_us, 0), ${BURST_US}::bigint))) AS left_over
          FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us OFFSET 0) AS clock
          OFFSET 0
        ) AS decayed
      ) AS decided
    )
    RETURNING api_key_id, debt, granted`;
  const byKey = new Map(rows.map((row) => [row.api_key_id, { ...row, asked: 0 }]));
  return keyIds.map((keyId) => {
    const row = byKey.get(keyId);
    if (row === undefined) throw new Error('a bucket was asked for and not answered');
    const free = burst * REQUEST - Number(row.debt);
    const place = row.asked++;
    if (place < row.granted) {
      const remaining = Math.floor(free / REQUEST) + (row.granted - place - 1);
      return { allowed: true, remaining, retryMs: 0 };
    }
    return { allowed: false, remaining: 0, retryMs: Math.ceil((REQUEST - free) / perSecond / 1_000) };
  });
}

interface BucketRow {
  readonly api_key_id: string;
  readonly debt: bigint;
  readonly granted: number;
}

/** Removes the buckets that have been full for a while: a full one is as good as none. */
export function forgetFullBuckets(statements: Statements): Promise<number> {
  return statements.$executeRaw`
    DELETE FROM request_buckets
    WHERE counted_at_us < (extract(epoch FROM clock_timestamp() - interval '1 hour') * 1000000)::bigint`;
}
