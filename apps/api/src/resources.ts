import type { Type } from '@nestjs/common';
import { ApiKeysModule } from './api-keys/api-keys.module.js';
import { AuditModule } from './audit/audit.module.js';
import { DeliveriesModule } from './deliveries/deliveries.module.js';
import { EventTypesModule } from './event-types/event-types.module.js';
import { EventsModule } from './events/events.module.js';
import { MerchantsModule } from './merchants/merchants.module.js';
import { StatsModule } from './stats/stats.module.js';
import { PublicKeysModule } from './public-keys/public-keys.module.js';
import { RecoveriesModule } from './recoveries/recoveries.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/** One module a resource folder; a new folder is added here and nowhere else. */
export const RESOURCE_MODULES: readonly Type[] = [
  MerchantsModule,
  ApiKeysModule,
  WebhooksModule,
  PublicKeysModule,
  EventTypesModule,
  EventsModule,
  DeliveriesModule,
  AuditModule,
  StatsModule,
  RecoveriesModule,
];
