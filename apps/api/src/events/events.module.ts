import { Injectable, Module, type BeforeApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { type Registry } from 'prom-client';
import { PostgresAcceptStore } from '#adapters/postgres/accept-store.js';
import type { Database } from '#adapters/postgres/database.js';
import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import type { IdMaker } from '#domain/ids.js';
import { DispatchReport } from '#observability/dispatch-report.js';
import { Acceptor } from '#pipeline/accept.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import type { HintQueue } from '#pipeline/hint-queue.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { Subscriptions } from '#pipeline/subscriptions.js';
import { DATABASE, DATABASE_CLOCK, HINT_QUEUE, ID_MAKER, LOGGER, METRICS, SECRET_BOX } from '../tokens.js';
import { EventsController } from './events.controller.js';

/** Lets the hints of what was accepted reach the queue before the process ends. */
@Injectable()
class HintsBeforeShutdown implements BeforeApplicationShutdown {
  constructor(
    private readonly acceptor: Acceptor,
    private readonly dispatcher: Dispatcher,
  ) {}

  async beforeApplicationShutdown(): Promise<void> {
    await this.acceptor.drained();
    await this.dispatcher.drained();
  }
}

@Module({
  controllers: [EventsController],
  providers: [
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
    {
      provide: Acceptor,
      inject: [DATABASE, DATABASE_CLOCK, ID_MAKER, Dispatcher],
      useFactory: (database: Database, clock: DatabaseClock, ids: IdMaker, dispatcher: Dispatcher) => {
        const store = new PostgresAcceptStore(database, clock);
        return new Acceptor(store, new Subscriptions(store), ids, () => clock.nowMs(), dispatcher);
      },
    },
    HintsBeforeShutdown,
  ],
})
export class EventsModule {}
