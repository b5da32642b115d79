import { Module } from '@nestjs/common';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { StatsController } from './stats.controller.js';

@Module({ imports: [WebhooksModule], controllers: [StatsController] })
export class StatsModule {}
