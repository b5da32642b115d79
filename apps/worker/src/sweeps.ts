import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import { cancelForClosedEndpoints, CANCEL_BATCH_MAX } from '#adapters/postgres/cancel-deliveries.js';
import type { Database } from '#adapters/postgres/database.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { findAlarming } from '#adapters/postgres/find-alarming.js';
import { forgetExpiredKeys } from '#adapters/postgres/forget-expired-keys.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { reconcile } from '#pipeline/reconcile.js';
import type { DeliveryEngine } from './engine.js';
import { type NextRun, type Repeater, sweep } from './repeater.js';
import { CLOCK, DATABASE, ENGINE, LOGGER, METRICS } from './tokens.js';

/** What nobody has to ask for: everything that makes a lost hint, a lost worker or a new day go by unnoticed. */
@Injectable()
export class Sweeps implements OnApplicationBootstrap {
  private readonly repeaters: readonly Repeater[];

  constructor(
    @Inject(ENGINE) engine: DeliveryEngine,
    @Inject(DATABASE) database: Database,
    @Inject(CLOCK) clock: DatabaseClock,
    @Inject(LOGGER) private readonly log: Logger,
    @Inject(METRICS) metrics: Registry,
  ) {
    const alarms = new Gauge({
      name: 'posthorn_alarming_deliveries',
      help: 'Open deliveries that seem to end the workers that send them; anything but 0 wants a person.',
      registers: [metrics],
    });
    this.repeaters = [
      this.repeater('due deliveries', SWEEP_MS, async () => {
        const { isMoreToCome } = await engine.dispatcher.sweep(engine.inFlight.roomsAhead());
        return { pauseMs: isMoreToCome ? BUSY_SWEEP_MS : SWEEP_MS };
      }),
      this.repeater('slow endpoints', SLOW_LOOK_MS, () => engine.store.markSlow(engine.inFlight.moveSlow())),
      this.repeater('counts of what is in flight', REPAIR_MS, () => engine.store.repairInFlight()),
      this.repeater('ended leases', SWEEP_MS, async () => {
        const freed = await reconcile(engine.store);
        if (freed > 0) this.log.warn({ freed }, 'leases had ended: their workers went away in mid-flight');
      }),
      this.repeater('deliveries that end their workers', ALARM_MS, async () => {
        const alarming = await findAlarming(database);
        alarms.set(alarming.length);
        if (alarming.length > 0)
          this.log.error({ alarming }, 'deliveries seem to end the workers that send them');
      }),
      this.repeater('closed endpoints', SWEEP_MS, async () => {
        await cancelForClosedEndpoints(database, CANCEL_BATCH_MAX);
      }),
      this.repeater('partitions', HOUR_MS, async () => {
        const made = await ensurePartitions(database, clock.nowMs());
        if (made.length > 0) this.log.info({ made }, 'partitions made');
      }),
      this.repeater('expired idempotency keys', HOUR_MS, async () => {
        await forgetExpiredKeys(database);
      }),
    ];
  }

  onApplicationBootstrap(): void {
    for (const repeater of this.repeaters) repeater.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.repeaters.map((repeater) => repeater.stop()));
  }

  private repeater(name: string, pauseMs: number, work: () => Promise<NextRun | void>): Repeater {
    return sweep(this.log, name, pauseMs, work);
  }
}

/** A lost hint, a delayed delivery or an ended lease is noticed within about this. */
const SWEEP_MS = 1_000;
/** The pause between two sweeps while there is more due than the queue, or an endpoint, has room for. */
const BUSY_SWEEP_MS = 100;
/** An attempt is noticed as slow this long after its first second at the latest. */
const SLOW_LOOK_MS = 250;
/** A worker that was killed leaves its leases counted until they end; this is soon enough after that. */
const REPAIR_MS = 10_000;
/** Often enough that somebody hears of it soon, seldom enough that the log stays readable until they act. */
const ALARM_MS = 60_000;
/** Partitions are a week ahead; an hour leaves many tries. */
const HOUR_MS = 3_600_000;
