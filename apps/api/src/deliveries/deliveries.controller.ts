import { Body, Controller, Get, Header, Inject, Post, Query } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import { cancelDelivery } from '#adapters/postgres/cancel-deliveries.js';
import { DeliveryLog, type DeliveryRecord } from '#adapters/postgres/delivery-log.js';
import { EventLog } from '#adapters/postgres/event-log.js';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { IdempotentPosts, type PostAnswer, type Transaction } from '#adapters/postgres/idempotent-posts.js';
import { retryDelivery, type RetryOutcome } from '#adapters/postgres/retry-delivery.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { Dispatcher, type DueDelivery } from '#pipeline/dispatch.js';
import { Audit, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { MerchantScope } from '../auth/principal.js';
import { ApiError, conflict, notFound } from '../http/api-error.js';
import { emptyBody } from '../http/fields.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { SEARCHED_PAGES } from '../paging/page.js';
import { WebhookLoader } from '../webhooks/webhook.loader.js';
import { deliveryDetailJson } from './delivery-detail.js';
import { DeliveryList } from './delivery-list.js';
import { DeliveryLoader } from './delivery.loader.js';
import {
  deliveryDetailView,
  deliveryPage,
  deliveryQuery,
  type DeliveryQuery,
  deliveryView,
  viewDelivery,
  webhookDeliveryQuery,
  type WebhookDeliveryQuery,
} from './delivery.schema.js';

type DeliveryPage = z.infer<typeof deliveryPage>;

@ApiTags('Deliveries')
@Controller()
export class DeliveriesController {
  constructor(
    private readonly log: DeliveryLog,
    private readonly events: EventLog,
    private readonly deliveries: DeliveryList,
    private readonly posts: IdempotentPosts,
    @Inject(Dispatcher) private readonly dispatcher: Pick<Dispatcher, 'retrying'>,
  ) {}

  @Get('v1/deliveries')
  @Scopes('deliveries:read')
  @Operation({
    id: 'listDeliveries',
    summary: 'List deliveries',
    description: `Filters combine freely. ${SEARCHED_PAGES}`,
    status: 200,
    schema: deliveryPage,
    errors: ['not_found', 'invalid_request'],
  })
  list(
    @MerchantScope() merchantId: string | null,
    @Query({ schema: deliveryQuery }) query: DeliveryQuery,
  ): Promise<DeliveryPage> {
    return this.deliveries.page(merchantId, query);
  }

  /** For products whose receivers know their delivery log at this path. */
  @Get('deliveries')
  @Scopes('deliveries:read')
  @ApiExcludeEndpoint()
  listUnversioned(
    @MerchantScope() merchantId: string | null,
    @Query({ schema: deliveryQuery }) query: DeliveryQuery,
  ): Promise<DeliveryPage> {
    return this.deliveries.page(merchantId, query);
  }

  @Get('v1/webhooks/:id/deliveries')
  @Scopes('deliveries:read')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'listWebhookDeliveries',
    summary: "List a webhook's deliveries",
    description: `Filters combine freely. ${SEARCHED_PAGES}`,
    status: 200,
    schema: deliveryPage,
    errors: ['not_found', 'invalid_request'],
  })
  listOfWebhook(
    @Loaded() { id, merchantId }: EndpointRecord,
    @Query({ schema: webhookDeliveryQuery }) query: WebhookDeliveryQuery,
  ): Promise<DeliveryPage> {
    return this.deliveries.page(merchantId, { ...query, webhook_id: formatId(ID_PREFIXES.endpoint, id) });
  }

  @Get('v1/deliveries/:id')
  @Scopes('deliveries:read')
  @Resource('id', ID_PREFIXES.delivery, DeliveryLoader)
  @Header('content-type', 'application/json; charset=utf-8')
  @Operation({
    id: 'getDelivery',
    summary: 'Get a delivery with its attempts and its event',
    status: 200,
    schema: deliveryDetailView,
    errors: ['not_found'],
  })
  async read(@Loaded() delivery: DeliveryRecord): Promise<string> {
    const [attempts, event] = await Promise.all([
      this.log.attempts(delivery),
      this.events.find({ id: delivery.eventId, merchantId: delivery.merchantId }),
    ]);
    return deliveryDetailJson(delivery, attempts, event);
  }

  @Post('v1/deliveries/:id/retry')
  @Scopes('deliveries:retry')
  @Resource('id', ID_PREFIXES.delivery, DeliveryLoader)
  @Operation({
    id: 'retryDelivery',
    summary: 'Make an attempt now',
    description:
      "Brings an open delivery's next attempt forward. Of a final one, makes exactly one attempt; if that fails, the " +
      'status stays (`cancelled` becomes `failed`). While one is in flight, or the webhook is paused, disabled or deleted: ' +
      '`conflict`.',
    status: 202,
    schema: deliveryView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'payload_redacted', 'idempotency_conflict'],
    audit: 'delivery.retried',
  })
  async retry(
    @Loaded() delivery: DeliveryRecord,
    @Body({ schema: emptyBody }) _body: z.infer<typeof emptyBody>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    const { id, merchantId } = delivery;
    const due: DueDelivery[] = [];
    const answer = await this.posts.run(merchantId, call.key, call.contentHash, async (transaction) => {
      due.push(dueOf(await retryDelivery(transaction, { id, merchantId })));
      return { status: 202, body: await recorded(transaction, delivery, audit) };
    });
    // After the commit, or a worker would look for it in vain. Empty when the answer is an earlier one.
    this.dispatcher.retrying(due.map((delivery) => ({ ...delivery, delayMs: 0 })));
    return answer;
  }

  @Post('v1/deliveries/:id/cancel')
  @Scopes('deliveries:retry')
  @Resource('id', ID_PREFIXES.delivery, DeliveryLoader)
  @Operation({
    id: 'cancelDelivery',
    summary: 'Cancel an open delivery',
    description: 'A delivery that is final already, and is only tried once more by hand, keeps its status.',
    status: 202,
    schema: deliveryView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict'],
    audit: 'delivery.cancelled',
  })
  cancel(
    @Loaded() delivery: DeliveryRecord,
    @Body({ schema: emptyBody }) _body: z.infer<typeof emptyBody>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    const { id, merchantId } = delivery;
    return this.posts.run(merchantId, call.key, call.contentHash, async (transaction) => {
      const outcome = await cancelDelivery(transaction, { id, merchantId });
      if (outcome === 'in_flight')
        throw conflict('An attempt is in flight: what becomes of it is not known yet.');
      if (outcome === 'final') throw conflict('The delivery is final already.');
      return { status: 202, body: await recorded(transaction, delivery, audit) };
    });
  }
}

/** The delivery as it is now; how it came to be so is in the audit log. */
async function recorded(
  transaction: Transaction,
  before: DeliveryRecord,
  audit: AuditTrail,
): Promise<z.infer<typeof deliveryView>> {
  const { id, merchantId } = before;
  const delivery = await new DeliveryLog(transaction).find({ id, merchantId });
  if (delivery === null) throw notFound();
  const view = viewDelivery(delivery);
  await audit.record(transaction, { merchantId, target: view.id, before: viewDelivery(before), after: view });
  return view;
}

/** @throws {ApiError} 404 or 409 for what cannot be retried now */
function dueOf(outcome: RetryOutcome): DueDelivery {
  switch (outcome.kind) {
    case 'due':
      return outcome.delivery;
    case 'under_way':
      throw conflict('An attempt is in flight, or about to be.');
    case 'endpoint_closed':
      throw conflict('The webhook is paused, disabled or deleted.');
    case 'payload_conflict':
      throw conflict("The webhook's payload format cannot carry this event.");
    case 'data_erased':
      throw new ApiError('payload_redacted');
    case 'not_found':
      throw notFound();
  }
}
