import { databaseErrorCode, DEADLOCK_DETECTED } from './database-error.js';

/**
 * Runs a statement again that PostgreSQL chose as the victim of a deadlock. Batches take their locks in key order,
 * so deadlocks are rare; a victim changed nothing, so repeating it is safe.
 */
export async function withDeadlockRetry<Result>(statement: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await statement();
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || databaseErrorCode(error) !== DEADLOCK_DETECTED) throw error;
    }
  }
}

/** A statement that loses this often is not unlucky: its order of locks is wrong. */
const ATTEMPTS_MAX = 5;
