import type { Database } from './database.js';
import { schemaState } from './migrate.js';
import { missingSoon } from './partitions.js';

/**
 * What keeps this build from working on the database, in one line for its operator; null when nothing does: it can be
 * written, its schema is this build's, and the log has partitions for today and tomorrow.
 *
 * @param migrationNames the migrations that this build carries
 * @param nowMs PostgreSQL's time, Unix milliseconds
 * @throws when the database cannot be asked
 */
export async function databaseProblem(
  database: Database,
  migrationNames: readonly string[],
  nowMs: number,
): Promise<string | null> {
  const [server] = await database.$queryRaw<{ is_read_only: boolean }[]>`
    SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only`;
  if (server?.is_read_only !== false) return 'PostgreSQL is read-only';
  const schema = await schemaState((sql) => database.$queryRawUnsafe(sql), migrationNames);
  if (schema.state === 'behind') return `migrations are missing: ${schema.pending.join(', ')}`;
  if (schema.state === 'ahead') return `the schema is newer than this build: ${schema.unknown.join(', ')}`;
  const missing = await missingSoon(database, nowMs);
  return missing.length === 0 ? null : `partitions are missing: ${missing.join(', ')}`;
}
