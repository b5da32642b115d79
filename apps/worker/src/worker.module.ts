import { BullModule, getQueueToken, type WorkerHost } from '@nestjs/bullmq';
import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Injectable,
  Module,
} from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { MaintenanceSessions } from '#adapters/postgres/maintenance-session.js';
import { QUEUE_OF_LANE, type QueueConnection } from '#adapters/queue/queue-connection.js';
import { createDeliveryEngine, type DeliveryEngine, type EngineParts } from './engine.js';
import { EndpointSweeps } from './endpoint-sweeps.js';
import { FastHintProcessor, SlowHintProcessor, SuspectHintProcessor } from './hint-processors.js';
import { Retention } from './retention.js';
import { Sweeps } from './sweeps.js';
import {
  CLOCK,
  DATABASE,
  DISABLE_AFTER_DAYS,
  ENGINE,
  LOGGER,
  METRICS,
  RETENTION,
  SECRET_BOX,
} from './tokens.js';

export interface WorkerOptions extends EngineParts {
  readonly queues: QueueConnection;
  readonly maintenance: MaintenanceSessions;
  /** For how many days the log is kept. */
  readonly retentionDays: number;
  /** After which an endpoint that only fails is disabled; null: never. */
  readonly disableAfterDays: number | null;
}

const PROCESSORS = [FastHintProcessor, SlowHintProcessor, SuspectHintProcessor];
const HINT_PROCESSORS = Symbol('HINT_PROCESSORS');
const NEST_QUEUES = Symbol('NEST_QUEUES');

/** Stops in an order that loses nothing: no new hints, then what is in flight, then what it leads to. */
@Injectable()
class WorkerShutdown implements BeforeApplicationShutdown {
  constructor(
    @Inject(ENGINE) private readonly engine: DeliveryEngine,
    @Inject(Sweeps) private readonly sweeps: Sweeps,
    @Inject(EndpointSweeps) private readonly endpointSweeps: EndpointSweeps,
    @Inject(HINT_PROCESSORS) private readonly processors: readonly WorkerHost[],
    @Inject(NEST_QUEUES) private readonly queues: readonly Queue[],
  ) {
    // Their workers say that the queue is away; without a listener BullMQ would print each of these errors as well.
    for (const queue of queues) queue.on('error', () => undefined);
  }

  async beforeApplicationShutdown(): Promise<void> {
    const workers = this.processors.map(({ worker }) => worker);
    const paused = Promise.allSettled(workers.map((worker) => worker.pause(true)));
    const sweepsStopped = Promise.all([this.sweeps.stop(), this.endpointSweeps.stop()]);
    await Promise.all([paused, sweepsStopped, this.engine.deliverer.stop(SHUTDOWN_GRACE_MS)]);
    await this.engine.dispatcher.drained();
    // By force: politely they would wait for a Redis that is away for as long as it is. What they still count as active are
    // hints whose deliveries are settled or given back, and BullMQ's giving them out once more does no harm.
    await Promise.all(workers.map((worker) => worker.close(true)));
    // Nest's own queues, which nothing adds to, would wait for a Redis that is stuck. Not awaited: with one that is away,
    // this is what never ends.
    for (const queue of this.queues) queue.disconnect().catch(() => undefined);
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
        { provide: METRICS, useValue: options.metrics },
        { provide: SECRET_BOX, useValue: options.secretBox },
        { provide: RETENTION, useValue: new Retention(options) },
        { provide: DISABLE_AFTER_DAYS, useValue: options.disableAfterDays },
        Sweeps,
        EndpointSweeps,
        ...PROCESSORS,
        {
          provide: HINT_PROCESSORS,
          inject: PROCESSORS,
          useFactory: (...processors: WorkerHost[]) => processors,
        },
        {
          provide: NEST_QUEUES,
          inject: Object.values(QUEUE_OF_LANE).map((name) => getQueueToken(name)),
          useFactory: (...queues: Queue[]) => queues,
        },
        WorkerShutdown,
      ],
      exports: [ENGINE],
    };
  }
}

/** What was sent may be answered for this long; with what follows, the process is gone within 15 s. */
const SHUTDOWN_GRACE_MS = 12_000;
