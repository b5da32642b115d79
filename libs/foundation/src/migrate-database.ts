import { connectDatabase } from '#adapters/postgres/database.js';
import { learnClock } from '#adapters/postgres/learn-clock.js';
import { applyMigrations, type MigrationClient, ownMigrationsDir } from '#adapters/postgres/migrate.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { migrateQueueTables } from '#adapters/queue/queue-connection.js';
import { DatabaseClock } from '#pipeline/database-clock.js';

/**
 * Makes a database ready for this build: our schema, the queue's own tables, and partitions for the days to come.
 * Repeatable, and safe when several processes do it at once.
 *
 * @returns the names of the migrations that this call applied
 * @throws {MigrationError} with one line for the operator
 */
export function migrateDatabase(databaseUrl: string, log: (line: string) => void): Promise<string[]> {
  return applyMigrations({
    databaseUrl,
    migrationsDir: ownMigrationsDir(),
    log,
    afterMigrations: (client) => completeMigrations(client, databaseUrl, log),
  });
}

/** What a database needs beside the schema: the queue's tables, and partitions. */
export async function completeMigrations(
  client: MigrationClient,
  databaseUrl: string,
  log: (line: string) => void,
): Promise<void> {
  await migrateQueueTables(client);
  const database = connectDatabase(databaseUrl, 1);
  try {
    const clock = new DatabaseClock();
    await learnClock(database, clock);
    const made = await ensurePartitions(database, clock.nowMs());
    if (made.length > 0) log(`made ${made.length} partitions`);
  } finally {
    await database.$disconnect();
  }
}
