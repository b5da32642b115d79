import type { Type } from '@nestjs/common';
import { ApiKeysModule } from './api-keys/api-keys.module.js';
import { DeliveriesModule } from './deliveries/deliveries.module.js';
import { EventsModule } from './events/events.module.js';
import { MerchantsModule } from './merchants/merchants.module.js';
import { RecoveriesModule } from './recoveries/recoveries.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/** One module a resource folder; a new folder is added here and nowhere else. */
export const RESOURCE_MODULES: readonly Type[] = [
  MerchantsModule,
  ApiKeysModule,
  WebhooksModule,
  EventsModule,
  DeliveriesModule,
  RecoveriesModule,
];
