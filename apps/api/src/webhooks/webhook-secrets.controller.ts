import { Body, Controller, Get, Header, Inject, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import type { Database } from '#adapters/postgres/database.js';
import { withDeadlockRetry } from '#adapters/postgres/deadlock.js';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { EndpointRepository, LIVE_SECRETS_MAX } from '#adapters/postgres/endpoints.js';
import { IdempotentPosts, type PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { Audit, type AuditedCall, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { conflict, notFound } from '../http/api-error.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { DATABASE } from '../tokens.js';
import { nextSecret } from './webhook-rules.js';
import { secretView, viewSecrets } from './webhook-secret.schema.js';
import { WebhookLoader } from './webhook.loader.js';
import { secretRotate, type SecretRotate } from './webhook.schema.js';

@ApiTags('Webhooks')
@Controller('v1/webhooks/:id/secret')
@Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
export class WebhookSecretsController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    private readonly endpoints: EndpointRepository,
    private readonly posts: IdempotentPosts,
  ) {}

  @Get()
  @Header('cache-control', 'no-store')
  @Scopes('secrets:read')
  @Operation({
    id: 'getWebhookSecret',
    summary: "Get a webhook's secrets",
    status: 200,
    schema: secretView,
    errors: ['not_found'],
    audit: 'secret.read',
  })
  async read(
    @Loaded() endpoint: EndpointRecord,
    @Audit() audit: AuditTrail,
  ): Promise<z.infer<typeof secretView>> {
    // First: what was shown and could not be recorded cannot be taken back.
    await audit.record(this.database, auditedSecret(endpoint));
    return viewSecrets(endpoint, await this.endpoints.secretsOf(endpoint));
  }

  @Post('rotate')
  @Header('cache-control', 'no-store')
  @Scopes('secrets:read', 'webhooks:write')
  @Operation({
    id: 'rotateWebhookSecret',
    summary: "Rotate a webhook's secret",
    description:
      'Every attempt that is made from now on follows it. A pair that signs is replaced together with the secret. At ' +
      `most ${LIVE_SECRETS_MAX} secrets are live at a time; one more is a \`conflict\`, until an overlap has ended or ` +
      'with `overlap_seconds` 0.',
    status: 200,
    schema: secretView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict'],
    audit: 'secret.rotated',
  })
  rotate(
    @Loaded() endpoint: EndpointRecord,
    @Body({ schema: secretRotate }) body: SecretRotate,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    const { id, merchantId } = endpoint;
    return withDeadlockRetry(() =>
      this.posts.run(merchantId, call.key, call.contentHash, async (transaction) => {
        const rotated = await this.endpoints.rotateSecret(transaction, { id, merchantId }, (current, live) =>
          nextSecret(body, current, live),
        );
        switch (rotated.kind) {
          case 'rotated':
            await audit.record(transaction, auditedSecret(endpoint));
            return { status: 200, body: viewSecrets(rotated.endpoint, rotated.secrets) };
          case 'endpoint_not_found':
            throw notFound();
          case 'too_many_secrets':
            throw conflict(
              `The webhook has ${LIVE_SECRETS_MAX} live secrets, which is as many as there can be.`,
            );
        }
      }),
    );
  }
}

/** Whose secret it was is all that may be told of it. */
function auditedSecret({ id, merchantId }: EndpointRecord): AuditedCall {
  return { merchantId, target: formatId(ID_PREFIXES.endpoint, id) };
}
