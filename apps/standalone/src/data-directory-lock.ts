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
  try {
    const held = openLock(dataDir);
    return () => {
      held.close();
    };
  } catch (cause) {
    if (isBusy(cause)) throw takenError(dataDir, cause);
    throw new StartupError(`Cannot lock the data directory ${dataDir}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * For a start that could not even begin: whether it is because another process runs on the directory already. Makes nothing.
 *
 * @throws StartupError when another process has it
 */
export function refuseTakenDataDirectory(dataDir: string): void {
  const directory = resolve(dataDir);
  if (!existsSync(join(directory, 'lock'))) return;
  try {
    openLock(directory).close();
  } catch (cause) {
    if (isBusy(cause)) throw takenError(directory, cause);
  }
}

function openLock(dataDir: string): DatabaseSync {
  const database = new DatabaseSync(join(dataDir, 'lock'));
  try {
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === SQLITE_BUSY;
}

function takenError(dataDir: string, cause: unknown): StartupError {
  return new StartupError(
    `Another Posthorn is running on ${dataDir}: stop it first, or set POSTHORN_DATA_DIR to another directory.`,
    { cause },
  );
}
