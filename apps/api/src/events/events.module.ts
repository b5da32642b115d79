import { type BeforeApplicationShutdown, Injectable, Module } from '@nestjs/common';
import { compileEventTypeSchema } from '#adapters/json-schema/event-type-schema.js';
import { PostgresAcceptStore } from '#adapters/postgres/accept-store.js';
import type { Database, Statements } from '#adapters/postgres/database.js';
import { EventLog } from '#adapters/postgres/event-log.js';
import type { IdMaker } from '#domain/ids.js';
import { Acceptor } from '#pipeline/accept.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import { EventTypes } from '#pipeline/event-types.js';
import type { ReachFailpoint } from '#pipeline/failpoints.js';
import { Subscriptions } from '#pipeline/subscriptions.js';
import { DATABASE, DATABASE_CLOCK, ID_MAKER, REACH_FAILPOINT, STATEMENTS } from '../tokens.js';
import { EventsController } from './events.controller.js';

/** What was accepted is answered, and its hints reach the queue, before the process ends. */
@Injectable()
class AcceptedBeforeShutdown implements BeforeApplicationShutdown {
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
      provide: Acceptor,
      inject: [DATABASE, STATEMENTS, DATABASE_CLOCK, ID_MAKER, Dispatcher, REACH_FAILPOINT],
      useFactory: (
        database: Database,
        statements: Statements,
        clock: DatabaseClock,
        ids: IdMaker,
        dispatcher: Dispatcher,
        reach: ReachFailpoint,
      ) => {
        const store = new PostgresAcceptStore(database, statements, clock);
        const eventTypes = new EventTypes(store, compileEventTypeSchema);
        return new Acceptor(store, new Subscriptions(store), eventTypes, ids, dispatcher, reach);
      },
    },
    {
      provide: EventLog,
      inject: [DATABASE],
      useFactory: (database: Database) => new EventLog(database),
    },
    AcceptedBeforeShutdown,
  ],
  exports: [EventLog],
})
export class EventsModule {}
