import { Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject, Injectable } from '@nestjs/common';
import type { Job } from 'bullmq';
import { InjectPinoLogger, PinoLogger } from 'nestjs-pino';
import type { HintJob } from '#adapters/queue/bullmq-hint-queue.js';
import { QUEUE_OF_LANE } from '#adapters/queue/queue-connection.js';
import { SLOTS, type DeliveryEngine } from './engine.js';
import { ENGINE } from './tokens.js';

const WORKER_OPTIONS = {
  // Each hint in hand holds at least one slot or waits for one; more jobs than slots would only wait.
  concurrency: SLOTS,
  // A job that BullMQ believes stalled is one whose deliveries the lease already protects: it must never be failed.
  maxStalledCount: Number.MAX_SAFE_INTEGER,
};

abstract class HintProcessor extends WorkerHost {
  constructor(
    private readonly engine: DeliveryEngine,
    private readonly log: PinoLogger,
  ) {
    super();
  }

  /** Returns once every delivery of the hint is settled, dropped or given back. */
  async process(job: Job<HintJob>): Promise<void> {
    const outcomes = await this.engine.deliverer.deliverAll(job.data.deliveryIds);
    if (!this.log.logger.isLevelEnabled('debug')) return;
    for (const [index, outcome] of outcomes.entries()) {
      this.log.debug({ deliveryId: job.data.deliveryIds[index], ...outcome }, `delivery.${outcome.kind}`);
    }
  }
}

@Injectable()
@Processor(QUEUE_OF_LANE.fast, WORKER_OPTIONS)
export class FastHintProcessor extends HintProcessor {
  constructor(@Inject(ENGINE) engine: DeliveryEngine, @InjectPinoLogger('deliveries') log: PinoLogger) {
    super(engine, log);
  }
}

@Injectable()
@Processor(QUEUE_OF_LANE.slow, WORKER_OPTIONS)
export class SlowHintProcessor extends HintProcessor {
  constructor(@Inject(ENGINE) engine: DeliveryEngine, @InjectPinoLogger('deliveries-slow') log: PinoLogger) {
    super(engine, log);
  }
}
