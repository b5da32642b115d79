import { Module } from '@nestjs/common';
import type { Database } from '#adapters/postgres/database.js';
import { DeliveryLog } from '#adapters/postgres/delivery-log.js';
import { DATABASE } from '../tokens.js';
import { EventsModule } from '../events/events.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { DeliveriesController } from './deliveries.controller.js';
import { DeliveryList } from './delivery-list.js';
import { DeliveryLoader } from './delivery.loader.js';

@Module({
  imports: [WebhooksModule, EventsModule],
  controllers: [DeliveriesController],
  providers: [
    {
      provide: DeliveryLog,
      inject: [DATABASE],
      useFactory: (database: Database) => new DeliveryLog(database),
    },
    DeliveryList,
    DeliveryLoader,
  ],
})
export class DeliveriesModule {}
