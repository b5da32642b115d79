import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import { auditHead, sealAuditLog } from '#adapters/postgres/audit-chain.js';
import { cancelForClosedEndpoints, CANCEL_BATCH_MAX } from '#adapters/postgres/cancel-deliveries.js';
import type { Database } from '#adapters/postgres/database.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { forgetExpiredSecrets } from '#adapters/postgres/endpoint-secrets.js';
import { findAlarming } from '#adapters/postgres/find-alarming.js';
import { forgetExpiredKeys } from '#adapters/postgres/forget-expired-keys.js';
import { forgetFullBuckets } from '#adapters/postgres/request-buckets.js';
import { maskEvents, REDACTION_BATCH_MAX } from '#adapters/postgres/mask-events.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { reconcile } from '#pipeline/reconcile.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { DeliveryEngine } from './engine.js';
import { Erasures } from './erasures.js';
import { type NextRun, type Repeater, sweep } from './repeater.js';
import type { Retention } from './retention.js';
import { CLOCK, DATABASE, ENGINE, LOGGER, METRICS, RETENTION, SECRET_BOX } from './tokens.js';

/** What nobody has to ask for: everything that makes a lost hint, a lost worker or a new day go by unnoticed. */
@Injectable()
export class Sweeps implements OnApplicationBootstrap {
  private readonly repeaters: readonly Repeater[];
  private isStopping = false;

  constructor(
    @Inject(ENGINE) engine: DeliveryEngine,
    @Inject(DATABASE) database: Database,
    @Inject(CLOCK) clock: DatabaseClock,
    @Inject(LOGGER) private readonly log: Logger,
    @Inject(METRICS) metrics: Registry,
    @Inject(SECRET_BOX) secretBox: SecretBox,
    @Inject(RETENTION) retention: Retention,
  ) {
    const mayGoOn = () => !this.isStopping;
    const erasures = new Erasures(database, log, metrics);
    const alarms = new Gauge({
      name: 'posthorn_alarming_deliveries',
      help: 'Open deliveries that seem to end the workers that send them; anything but 0 wants a person.',
      registers: [metrics],
    });
    this.repeaters = [
      this.repeater('due deliveries', SWEEP_MS, async () => {
        const rooms = engine.inFlight.roomsAhead();
        const { isMoreToCome } = await engine.dispatcher.sweep(rooms);
        if (rooms.isMoving) return { pauseMs: isMoreToCome ? DRAIN_SWEEP_MS : BUSY_SWEEP_MS };
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
      this.repeater('data to be redacted', SWEEP_MS, async () => {
        const { looked } = await maskEvents(database, REDACTION_BATCH_MAX);
        return { pauseMs: looked === REDACTION_BATCH_MAX ? BUSY_SWEEP_MS : SWEEP_MS };
      }),
      this.repeater('partitions', HOUR_MS, async () => {
        const made = await ensurePartitions(database, clock.nowMs());
        if (made.length > 0) this.log.info({ made }, 'partitions made');
      }),
      this.repeater('expired idempotency keys', HOUR_MS, async () => {
        await forgetExpiredKeys(database);
      }),
      this.repeater('full request buckets', HOUR_MS, async () => {
        await forgetFullBuckets(database);
      }),
      this.repeater('the audit log', SEAL_MS, async () => {
        const sealed = await sealAuditLog(database, secretBox, SEAL_ENTRIES_MAX);
        return { pauseMs: sealed < SEAL_ENTRIES_MAX ? SEAL_MS : BUSY_SWEEP_MS };
      }),
      this.repeater("the audit log's head", HOUR_MS, async () => {
        const head = await auditHead(database);
        if (head === null) return;
        const { sequence, mac } = head;
        const text = `${sequence}:${Buffer.from(mac).toString('hex')}`;
        // Its sequence is the count of entries: what is kept of these lines shows when the end of the log was cut off.
        this.log.info({ head: text, entries: Number(sequence) }, 'audit log head');
      }),
      this.repeater('merchants to erase', SWEEP_MS, async () => {
        const { isMoreToCome } = await erasures.run(mayGoOn);
        return { pauseMs: isMoreToCome ? BUSY_SWEEP_MS : SWEEP_MS };
      }),
      this.repeater('old payloads', OLD_PAYLOADS_MS, () => retention.erasePayloads(mayGoOn)),
      this.repeater('statistics', STATS_MS, () => retention.packStats(mayGoOn)),
      this.repeater('the old log', HOUR_MS, () => retention.trimLog(mayGoOn)),
      this.repeater('expired secrets', SECRETS_MS, async () => {
        await forgetExpiredSecrets(database);
      }),
    ];
  }

  onApplicationBootstrap(): void {
    for (const repeater of this.repeaters) repeater.start();
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.repeaters.map((repeater) => repeater.stop()));
  }

  private repeater(name: string, pauseMs: number, work: () => Promise<NextRun | void>): Repeater {
    return sweep(this.log, name, pauseMs, work);
  }
}

/** A lost hint, a delayed delivery or an ended lease is noticed within about this. */
const SWEEP_MS = 1_000;
/**
 * The pause between two sweeps while an endpoint's room or rate is what keeps deliveries back, or while attempts end: what
 * accept leaves to the sweep, of an endpoint or merchant that has had its share of hints, waits no longer than that.
 */
const BUSY_SWEEP_MS = 100;
/** While there is a backlog and attempts end, the next sweep follows soon: what one marks is sent in some tens of milliseconds. */
const DRAIN_SWEEP_MS = 20;
/** An attempt is noticed as slow this long after its first second at the latest. */
const SLOW_LOOK_MS = 250;
/** A worker that was killed leaves its leases counted until they end; this is soon enough after that. */
const REPAIR_MS = 10_000;
/** Often enough that somebody hears of it soon, seldom enough that the log stays readable until they act. */
const ALARM_MS = 60_000;
/** Until it is sealed an entry can be altered unseen, so soon. */
const SEAL_MS = 1_000;
/** Tens of milliseconds of a transaction, and more than all calls of a second. */
const SEAL_ENTRIES_MAX = 1_000;
/** What is kept for days may be kept for minutes more. */
const OLD_PAYLOADS_MS = 600_000;
/** The period that attempts are counted in. */
const STATS_MS = 300_000;
/** Partitions are a week ahead; an hour leaves many tries. */
const HOUR_MS = 3_600_000;
/** Nothing signs with an expired secret; this is only how long it still lies there, sealed. */
const SECRETS_MS = 60_000;
