import { Body, Controller, Inject, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import * as z from 'zod';
import type { Database } from '#adapters/postgres/database.js';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { IdempotentPosts, type PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { EVENT_TYPE_LENGTH_MAX, isEventType } from '#domain/event-type-pattern.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { Audit, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { viewAttempt } from '../deliveries/delivery-detail.js';
import { attemptView, type AttemptView } from '../deliveries/delivery.schema.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { DATABASE } from '../tokens.js';
import { TEST_EVENT_TYPE, type TestAttempt, WebhookTester } from './webhook-tester.js';
import { WebhookLoader } from './webhook.loader.js';

const webhookTest = z
  .strictObject({
    type: z
      .string()
      .refine(isEventType, 'must be an event type')
      .optional()
      .meta({
        maxLength: EVENT_TYPE_LENGTH_MAX,
        description: `Left out: the first that the webhook names, else \`${TEST_EVENT_TYPE}\`.`,
        examples: ['payment.success'],
      }),
  })
  .meta({ id: 'WebhookTest' });

@ApiTags('Webhooks')
@Controller('v1/webhooks')
export class WebhookTestsController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    private readonly tester: WebhookTester,
    private readonly posts: IdempotentPosts,
  ) {}

  @Post(':id/test')
  @Scopes('deliveries:retry')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'testWebhook',
    summary: 'Send a test event now',
    description:
      "Sends the type's example from the catalogue, or a small one, signed and formatted as this webhook's events are, and " +
      'answers with the attempt once it has ended, within `timeout_ms`, whatever it came to. Nothing of it is kept or ' +
      'counted: there is no event, no delivery, no retry, and the health of the webhook stays as it is. A paused webhook ' +
      'may be tested; for a disabled one it is a `conflict`.',
    status: 200,
    schema: attemptView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict'],
    audit: 'webhook.tested',
  })
  async test(
    @Loaded() endpoint: EndpointRecord,
    @Body({ schema: webhookTest }) body: z.infer<typeof webhookTest>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<AttemptView | PostAnswer> {
    const tested = { merchantId: endpoint.merchantId, target: formatId(ID_PREFIXES.endpoint, endpoint.id) };
    if (call.key === null) {
      const view = viewTest(await this.tester.test(endpoint, body.type ?? null));
      await audit.record(this.database, tested);
      return view;
    }
    // No transaction stays open while a receiver thinks: of two calls with one key at the same moment both may send, and
    // both answer with the first to end.
    const earlier = await this.posts.find(endpoint.merchantId, call.key, call.contentHash);
    if (earlier !== null) return earlier;
    const view = viewTest(await this.tester.test(endpoint, body.type ?? null));
    return this.posts.run(endpoint.merchantId, call.key, call.contentHash, async (transaction) => {
      await audit.record(transaction, tested);
      return { status: 200, body: view };
    });
  }
}

function viewTest({ id, attempt, body }: TestAttempt): AttemptView {
  const { startedAtMs, requestHeaders, responseHeaders, ...rest } = attempt;
  return viewAttempt(
    {
      ...rest,
      id,
      number: 1,
      trigger: 'test',
      startedAt: new Date(startedAtMs),
      requestHeaders: JSON.stringify(requestHeaders),
      responseHeaders: responseHeaders && JSON.stringify(responseHeaders),
    },
    body,
  );
}
