import type { Logger } from 'pino';
import { CANCEL_BATCH_MAX, expireOpenDeliveries } from '#adapters/postgres/cancel-deliveries.js';
import type { Database } from '#adapters/postgres/database.js';
import { erasePayloads, findPayloadRetentions } from '#adapters/postgres/erase-payloads.js';
import type { MaintenanceSession, MaintenanceSessions } from '#adapters/postgres/maintenance-session.js';
import { packStats } from '#adapters/postgres/pack-stats.js';
import { removeOldPartitions } from '#adapters/postgres/remove-old-partitions.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';

export interface RetentionParts {
  readonly database: Database;
  readonly maintenance: MaintenanceSessions;
  readonly clock: Pick<DatabaseClock, 'nowMs'>;
  readonly logger: Logger;
  /** For how many days the log is kept. */
  readonly retentionDays: number;
}

/** Removes what is too old. `mayGoOn` is asked between any two statements. */
export class Retention {
  constructor(private readonly parts: RetentionParts) {}

  /** Ends what is open for too long, then drops the days that are over; by one worker at a time. */
  async trimLog(mayGoOn: () => boolean): Promise<void> {
    const { maintenance } = this.parts;
    await maintenance.alone(RETENTION_LOCK, (session) => this.trim(session, mayGoOn));
  }

  private async trim(session: MaintenanceSession, mayGoOn: () => boolean): Promise<void> {
    const { database, clock, logger, retentionDays } = this.parts;
    const nowMs = clock.nowMs();
    const beforeMs = nowMs - retentionDays * DAY_MS;
    let expired = 0;
    for (let batch = CANCEL_BATCH_MAX; batch === CANCEL_BATCH_MAX && mayGoOn(); expired += batch)
      batch = await expireOpenDeliveries(database, beforeMs, CANCEL_BATCH_MAX);
    if (expired > 0) logger.warn({ expired }, 'deliveries were still open at the end of the retention');
    const { dropped, kept } = await removeOldPartitions(session, { beforeMs, mayGoOn });
    if (dropped.length > 0) logger.info({ dropped }, 'partitions dropped');
    if (kept.length > 0) logger.info({ kept }, 'partitions kept: deliveries of those days are still open');
  }

  /** Packs the statistics of times that are over, and forgets those that no window reaches; by one worker at a time. */
  async packStats(mayGoOn: () => boolean): Promise<void> {
    const { database, maintenance, clock, retentionDays } = this.parts;
    const days = Math.max(retentionDays, STATS_DAYS_MIN) + 1;
    const limits = { forgetBeforeMs: clock.nowMs() - days * DAY_MS, mayGoOn };
    await maintenance.alone(STATS_LOCK, () => packStats(database, limits));
  }

  /** Erases the bytes of events that their merchants want kept for a shorter time than the log. */
  async erasePayloads(mayGoOn: () => boolean): Promise<void> {
    const { database, clock, logger } = this.parts;
    for (const { merchantId, days } of await findPayloadRetentions(database)) {
      if (!mayGoOn()) return;
      const beforeMs = clock.nowMs() - days * DAY_MS;
      const events = await erasePayloads(database, { merchantId, beforeMs }, mayGoOn);
      if (events > 0)
        logger.info({ merchantId: formatId(ID_PREFIXES.merchant, merchantId), events }, 'payloads erased');
    }
  }
}

const DAY_MS = 86_400_000;
/** The longest window that statistics are asked for. */
const STATS_DAYS_MIN = 30;
/** Any numbers that no other use of advisory locks in this database has. */
const RETENTION_LOCK = 7_061_737_470n;
const STATS_LOCK = 7_061_737_471n;
