import type { Statements } from './database.js';

/** When a key was last used, as one process saw it. */
export interface KeyUse {
  /** UUID. */
  readonly keyId: string;
  readonly usedAt: Date;
}

/** Moves `last_used_at` of each key forward, never back: other processes tell of the same keys, in any order. */
export function recordKeyUses(statements: Statements, uses: readonly KeyUse[]): Promise<number> {
  return statements.$executeRaw`
    WITH seen AS MATERIALIZED (
      SELECT * FROM unnest(
        ${uses.map(({ keyId }) => keyId)}::uuid[],
        ${uses.map(({ usedAt }) => usedAt)}::timestamptz[]
      ) AS seen (id, used_at)
    ), locked AS MATERIALIZED (
      -- In the order of their keys, so that processes that flush at once wait for each other and do not deadlock.
      SELECT k.id FROM api_keys k JOIN seen USING (id)
      WHERE k.last_used_at IS NULL OR k.last_used_at < seen.used_at
      ORDER BY k.id FOR NO KEY UPDATE OF k
    )
    UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, seen.used_at)
    FROM seen JOIN locked USING (id) WHERE k.id = seen.id`;
}
