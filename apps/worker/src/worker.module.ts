import { BullModule } from '@nestjs/bullmq';
import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Injectable,
  Module,
} from '@nestjs/common';
import { QUEUE_OF_LANE, type QueueConnection } from '#adapters/queue/queue-connection.js';
import { createDeliveryEngine, type DeliveryEngine, type EngineParts } from './engine.js';
import { FastHintProcessor, SlowHintProcessor, SuspectHintProcessor } from './hint-processors.js';
import { Sweeps } from './sweeps.js';
import { CLOCK, DATABASE, ENGINE, LOGGER } from './tokens.js';

export interface WorkerOptions extends EngineParts {
  readonly queues: QueueConnection;
}

/** Stops in an order that loses nothing: no new hints, then what is in flight, then what it leads to. */
@Injectable()
class WorkerShutdown implements BeforeApplicationShutdown {
  constructor(
    @Inject(ENGINE) private readonly engine: DeliveryEngine,
    @Inject(Sweeps) private readonly sweeps: Sweeps,
    @Inject(FastHintProcessor) private readonly fast: FastHintProcessor,
    @Inject(SlowHintProcessor) private readonly slow: SlowHintProcessor,
    @Inject(SuspectHintProcessor) private readonly suspect: SuspectHintProcessor,
  ) {}

  async beforeApplicationShutdown(): Promise<void> {
    const paused = Promise.allSettled(
      [this.fast, this.slow, this.suspect].map(({ worker }) => worker.pause(true)),
    );
    await Promise.all([paused, this.sweeps.stop(), this.engine.deliverer.stop(SHUTDOWN_GRACE_MS)]);
    await this.engine.dispatcher.drained();
  }
}

@Module({})
export class WorkerModule {
  /** The worker on parts that its root has made, and closes after it. */
  static register(options: WorkerOptions): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        BullModule.forRoot({ connection: options.queues.consumer }),
        // Nest looks for processors only where a queue is registered.
        BullModule.registerQueue(...Object.values(QUEUE_OF_LANE).map((name) => ({ name }))),
      ],
      providers: [
        { provide: ENGINE, useFactory: () => createDeliveryEngine(options) },
        { provide: DATABASE, useValue: options.database },
        { provide: CLOCK, useValue: options.clock },
        { provide: LOGGER, useValue: options.logger },
        Sweeps,
        FastHintProcessor,
        SlowHintProcessor,
        SuspectHintProcessor,
        WorkerShutdown,
      ],
      exports: [ENGINE],
    };
  }
}

/** What was sent may be answered for this long; with what follows, the process is gone within 15 s. */
const SHUTDOWN_GRACE_MS = 12_000;
