import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Database } from '#adapters/postgres/database.js';
import { disableFailing } from '#adapters/postgres/disable-failing.js';
import { PostgresNoticeStore } from '#adapters/postgres/notices.js';
import { PostgresRecoveryStore } from '#adapters/postgres/recover-batch.js';
import { formatId } from '#domain/ids.js';
import { ANNOUNCE_EVERY_MS, announce, dropStaleNotices } from '#pipeline/notices.js';
import { RECOVERY_BATCH_MAX } from '#pipeline/recover.js';
import type { DeliveryEngine } from './engine.js';
import { type Repeater, sweep } from './repeater.js';
import { DATABASE, DISABLE_AFTER_DAYS, ENGINE, LOGGER } from './tokens.js';

/** What goes on in the life of endpoints without a call: recoveries, disabling, and telling of it. */
@Injectable()
export class EndpointSweeps implements OnApplicationBootstrap {
  private readonly repeaters: readonly Repeater[];

  constructor(
    @Inject(ENGINE) { acceptor }: DeliveryEngine,
    @Inject(DATABASE) database: Database,
    @Inject(LOGGER) log: Logger,
    @Inject(DISABLE_AFTER_DAYS) disableAfterDays: number | null,
  ) {
    const recoveries = new PostgresRecoveryStore(database);
    const notices = new PostgresNoticeStore(database);
    this.repeaters = [
      sweep(log, 'recoveries', LOOK_MS, async () => {
        const batch = await recoveries.recoverBatch(RECOVERY_BATCH_MAX);
        if (batch === null) return { pauseMs: LOOK_MS };
        if (batch.status !== 'running')
          log.info({ recoveryId: formatId('rec', batch.recoveryId) }, `recovery ${batch.status}`);
        return { pauseMs: NEXT_BATCH_MS };
      }),
      sweep(log, 'notices', ANNOUNCE_EVERY_MS, async () => {
        await announce(notices, acceptor);
      }),
      sweep(log, 'stale notices', HOUR_MS, async () => {
        const dropped = await dropStaleNotices(notices);
        if (dropped > 0) log.warn({ dropped }, 'operational events were not told: there were too many');
      }),
      ...(disableAfterDays === null
        ? []
        : [
            sweep(log, 'endpoints that fail for good', DISABLE_LOOK_MS, async () => {
              const disabled = await disableFailing(database, disableAfterDays);
              const webhookIds = disabled.map((id) => formatId('wh', id));
              if (disabled.length > 0) log.warn({ webhookIds }, 'webhooks disabled: every attempt failed');
            }),
          ]),
    ];
  }

  onApplicationBootstrap(): void {
    for (const repeater of this.repeaters) repeater.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.repeaters.map((repeater) => repeater.stop()));
  }
}

/** A recovery begins within about this. */
const LOOK_MS = 500;
/** Between two batches others get at the database. */
const NEXT_BATCH_MS = 50;
/** What took days may take some seconds more. */
const DISABLE_LOOK_MS = 10_000;
const HOUR_MS = 3_600_000;
