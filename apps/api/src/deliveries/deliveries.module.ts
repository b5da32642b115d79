import { type BeforeApplicationShutdown, Injectable, Module } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Database } from '#adapters/postgres/database.js';
import { DeliveryLog } from '#adapters/postgres/delivery-log.js';
import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import { DispatchReport } from '#observability/dispatch-report.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import type { HintQueue } from '#pipeline/hint-queue.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { DATABASE, HINT_QUEUE, LOGGER, METRICS, SECRET_BOX } from '../tokens.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { DeliveriesController } from './deliveries.controller.js';
import { DeliveryList } from './delivery-list.js';
import { DeliveryLoader } from './delivery.loader.js';

/** Lets the hints of what was retried reach the queue before the process ends. */
@Injectable()
class RetriesBeforeShutdown implements BeforeApplicationShutdown {
  constructor(private readonly dispatcher: Dispatcher) {}

  beforeApplicationShutdown(): Promise<void> {
    return this.dispatcher.drained();
  }
}

@Module({
  imports: [WebhooksModule],
  controllers: [DeliveriesController],
  providers: [
    {
      provide: DeliveryLog,
      inject: [DATABASE],
      useFactory: (database: Database) => new DeliveryLog(database),
    },
    {
      provide: Dispatcher,
      inject: [DATABASE, SECRET_BOX, HINT_QUEUE, LOGGER, METRICS],
      useFactory: (
        database: Database,
        secretBox: SecretBox,
        queue: HintQueue,
        logger: Logger,
        metrics: Registry,
      ) =>
        new Dispatcher(
          new PostgresDeliveryStore(database, secretBox),
          queue,
          new DispatchReport(logger, metrics),
        ),
    },
    DeliveryList,
    DeliveryLoader,
    RetriesBeforeShutdown,
  ],
})
export class DeliveriesModule {}
