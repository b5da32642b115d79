import { Module } from '@nestjs/common';
import type { Database } from '#adapters/postgres/database.js';
import { EndpointRepository } from '#adapters/postgres/endpoints.js';
import type { IdMaker } from '#domain/ids.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { DATABASE, ID_MAKER, SECRET_BOX } from '../tokens.js';
import { WebhookTester } from './webhook-tester.js';
import { WebhookTestsController } from './webhook-tests.controller.js';
import { WebhookLoader } from './webhook.loader.js';
import { WebhookSecretsController } from './webhook-secrets.controller.js';
import { WebhooksController } from './webhooks.controller.js';

@Module({
  controllers: [WebhooksController, WebhookSecretsController, WebhookTestsController],
  providers: [
    {
      provide: EndpointRepository,
      inject: [DATABASE, SECRET_BOX, ID_MAKER],
      useFactory: (database: Database, secretBox: SecretBox, ids: IdMaker) =>
        new EndpointRepository(database, secretBox, ids),
    },
    WebhookLoader,
    WebhookTester,
  ],
  exports: [EndpointRepository, WebhookLoader],
})
export class WebhooksModule {}
