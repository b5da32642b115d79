import type { Statements } from './database.js';

/** Removes Idempotency-Keys whose day is over. A producer's own event ids stay as long as their events. */
export function forgetExpiredKeys(db: Statements): Promise<number> {
  return db.$executeRaw`DELETE FROM idempotency_keys WHERE expires_at <= now()`;
}
