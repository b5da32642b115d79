import { Module } from '@nestjs/common';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { RecoveriesController } from './recoveries.controller.js';
import { RecoveryLoader } from './recovery.loader.js';

@Module({ imports: [WebhooksModule], controllers: [RecoveriesController], providers: [RecoveryLoader] })
export class RecoveriesModule {}
