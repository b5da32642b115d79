import { OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject, Injectable } from '@nestjs/common';
import type { Job } from 'bullmq';
import type { Logger } from 'pino';
import type { HintJob } from '#adapters/queue/bullmq-hint-queue.js';
import { QUEUE_OF_LANE } from '#adapters/queue/queue-connection.js';
import type { DeliverOutcome } from '#pipeline/deliver.js';
import { HINT_DELIVERIES_MAX, type Lane } from '#pipeline/hint-queue.js';
import { FAST_SLOTS, SLOW_SLOTS } from '#pipeline/in-flight.js';
import type { DeliveryEngine } from './engine.js';
import { ENGINE, LOGGER } from './tokens.js';

/**
 * A job that BullMQ believes stalled is one whose deliveries the lease already protects, or the next sweep finds: it must
 * never be failed.
 */
function workerOptions(slots: number) {
  return { concurrency: Math.min(HINTS_AHEAD, slots), maxStalledCount: 2 ** 31 - 1 };
}

/**
 * Hints that wait here for slots. Full ones hold as many deliveries as all slots, so that there is always enough for the next
 * claims; more would only keep them from other workers, and new events waiting behind them.
 */
const HINTS_AHEAD = FAST_SLOTS / HINT_DELIVERIES_MAX;

/** At most a line in this time about what is our own trouble. */
const TELL_AGAIN_MS = 1_000;
/** Each try to connect again is an error of the worker: some twenty a second at first. */
const TELL_AWAY_AGAIN_MS = 60_000;

abstract class HintProcessor extends WorkerHost {
  private lastToldMs = -Infinity;
  private lastAwayMs = -Infinity;

  constructor(
    private readonly lane: Lane,
    private readonly engine: DeliveryEngine,
    private readonly log: Logger,
  ) {
    super();
  }

  /** A worker without a listener would end the process when its connection breaks; it reconnects by itself. */
  @OnWorkerEvent('error')
  onError(error: Error): void {
    const nowMs = performance.now();
    if (nowMs - this.lastAwayMs < TELL_AWAY_AGAIN_MS) return;
    this.lastAwayMs = nowMs;
    this.log.warn({ err: error }, 'the queue is away; its worker tries again by itself');
  }

  /** Returns once there are slots for the hint: what is not leased by then is still marked as hinted, and swept after that. */
  async process(job: Job<HintJob>): Promise<void> {
    const { deliveryIds } = job.data;
    const { ended } = await this.engine.deliverer.begin(this.lane, deliveryIds);
    void ended.then((outcomes) => this.tell(deliveryIds, outcomes));
  }

  private tell(deliveryIds: readonly string[], outcomes: readonly DeliverOutcome[]): void {
    for (const [index, outcome] of outcomes.entries()) {
      const deliveryId = deliveryIds[index];
      if (outcome.kind === 'broken') this.tellBroken(deliveryId, outcome.error);
      else if (this.log.isLevelEnabled('debug'))
        this.log.debug({ deliveryId, ...outcome }, `delivery.${outcome.kind}`);
    }
  }

  /** While the database is away this happens to every hint: a line now and then says as much as one each. */
  private tellBroken(deliveryId: string | undefined, error: unknown): void {
    const nowMs = performance.now();
    if (nowMs - this.lastToldMs < TELL_AGAIN_MS) return;
    this.lastToldMs = nowMs;
    this.log.error(
      { deliveryId, err: error },
      'a delivery could not be handled, and is tried again uncharged',
    );
  }
}

@Injectable()
@Processor(QUEUE_OF_LANE.fast, workerOptions(FAST_SLOTS))
export class FastHintProcessor extends HintProcessor {
  constructor(@Inject(ENGINE) engine: DeliveryEngine, @Inject(LOGGER) log: Logger) {
    super('fast', engine, log);
  }
}

@Injectable()
@Processor(QUEUE_OF_LANE.slow, workerOptions(SLOW_SLOTS))
export class SlowHintProcessor extends HintProcessor {
  constructor(@Inject(ENGINE) engine: DeliveryEngine, @Inject(LOGGER) log: Logger) {
    super('slow', engine, log);
  }
}

@Injectable()
@Processor(QUEUE_OF_LANE.suspect, workerOptions(1))
export class SuspectHintProcessor extends HintProcessor {
  constructor(@Inject(ENGINE) engine: DeliveryEngine, @Inject(LOGGER) log: Logger) {
    super('suspect', engine, log);
  }
}
