import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';

/** SQLite's result code SQLITE_BUSY: another connection holds the lock. */
const SQLITE_BUSY = 5;

/**
 * Takes the data directory for this process, until it releases it or ends, however it ends.
 *
 * Node has no call for a file lock. SQLite's exclusive transaction is one that the kernel holds: unlike a file with a process
 * number in it, it is never stale, and it counts between containers that share a volume. Nothing is ever stored.
 *
 * @returns the function that releases it
 * @throws StartupError when another process has it
 */
export function lockDataDirectory(dataDir: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(dataDir, 'lock'));
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database?.close();
    if ((cause as { errcode?: number }).errcode === SQLITE_BUSY) {
      throw new StartupError(
        `Another Posthorn is running on ${dataDir}: stop it first, or set POSTHORN_DATA_DIR to another directory.`,
        { cause },
      );
    }
    throw new StartupError(`Cannot lock the data directory ${dataDir}: ${(cause as Error).message}`, {
      cause,
    });
  }
  const held = database;
  return () => {
    held.close();
  };
}

/**
 * For a start that has touched nothing yet: does nothing unless the directory is there and taken.
 *
 * @throws StartupError as {@link lockDataDirectory} does
 */
export function refuseLockedDataDirectory({
  databaseUrl,
  dataDir,
}: {
  readonly databaseUrl: string | null;
  readonly dataDir: string;
}): void {
  const directory = resolve(dataDir);
  // With a database elsewhere nobody locks it.
  if (databaseUrl !== null || !existsSync(join(directory, 'lock'))) return;
  lockDataDirectory(directory)();
}
