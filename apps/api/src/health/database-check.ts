import type { Database } from '#adapters/postgres/database.js';
import { learnClock } from '#adapters/postgres/learn-clock.js';
import { databaseProblem } from '#adapters/postgres/readiness.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import type { ReadinessCheck } from './readiness.js';

/**
 * PostgreSQL is writable, its schema is this build's, and the log has partitions for today and tomorrow. Each probe
 * also reads PostgreSQL's clock, so that a process that commits nothing for a while does not lose it.
 *
 * @param migrationNames the migrations that this build carries
 */
export function databaseCheck(
  database: Database,
  clock: DatabaseClock,
  migrationNames: readonly string[],
): ReadinessCheck {
  return {
    name: 'database',
    async problem() {
      await learnClock(database, clock);
      return databaseProblem(database, migrationNames, clock.nowMs());
    },
  };
}
