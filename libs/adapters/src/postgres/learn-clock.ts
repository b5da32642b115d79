import type { DatabaseClock } from '#pipeline/database-clock.js';
import type { Statements } from './database.js';

/** Asks PostgreSQL what time it is, for a process that has committed nothing yet. */
export async function learnClock(statements: Statements, clock: DatabaseClock): Promise<void> {
  const sentMs = clock.localMs();
  const [row] = await statements.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
  if (row !== undefined) clock.learn(row.now.getTime(), sentMs, clock.localMs());
}
