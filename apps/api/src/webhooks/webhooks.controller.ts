import { randomBytes } from 'node:crypto';
import { Body, Controller, Delete, Get, Inject, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import type { EgressPolicy, UrlJudgement, UrlRefusal } from '#adapters/http-sender/egress-policy.js';
import type { Principal } from '#adapters/postgres/api-keys.js';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { EndpointRepository, ENDPOINTS_PER_MERCHANT_MAX } from '#adapters/postgres/endpoints.js';
import { IdempotentPosts, type PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import type { JsonDocument } from '#domain/raw-json.js';
import { OPERATOR_ID } from '#domain/operator.js';
import { generateSecret } from '#domain/secret.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Audit, type AuditTrail } from '../audit/audit-trail.js';
import { CurrentPrincipal, Scopes } from '../auth/decorators.js';
import { actingMerchant, MerchantScope } from '../auth/principal.js';
import { BodyDocument } from '../http/body.js';
import { type ApiError, conflict, invalidRequest, notFound } from '../http/api-error.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE_CLOCK, EGRESS_POLICY, HEADER_PREFIX } from '../tokens.js';
import { exactFields } from './conditions.js';
import { viewVerifier } from './webhook-secret.schema.js';
import { endpointChanges, newEndpoint } from './webhook-rules.js';
import { WebhookLoader } from './webhook.loader.js';
import {
  newWebhookView,
  viewWebhook,
  webhookCreate,
  type WebhookCreate,
  webhookPage,
  webhookQuery,
  webhookUpdate,
  type WebhookUpdate,
  webhookView,
  type WebhookView,
} from './webhook.schema.js';

@ApiTags('Webhooks')
@Controller('v1/webhooks')
export class WebhooksController {
  constructor(
    private readonly endpoints: EndpointRepository,
    private readonly posts: IdempotentPosts,
    private readonly cursors: Cursors,
    @Inject(EGRESS_POLICY) private readonly egress: EgressPolicy,
    @Inject(HEADER_PREFIX) private readonly headerPrefix: string,
    @Inject(DATABASE_CLOCK) private readonly clock: DatabaseClock,
  ) {}

  @Post()
  @Scopes('webhooks:write')
  @Operation({
    id: 'createWebhook',
    summary: 'Register a webhook',
    description: `The answer has the secret. A merchant has at most ${ENDPOINTS_PER_MERCHANT_MAX} webhooks; one more is a \`conflict\`.`,
    status: 201,
    schema: newWebhookView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict', 'url_not_allowed'],
    audit: 'webhook.created',
  })
  async create(
    @CurrentPrincipal() principal: Principal,
    @Body({ schema: webhookCreate }) body: WebhookCreate,
    @BodyDocument() document: JsonDocument | null,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    const merchantId = ownerOf(principal, body.merchant_id);
    if (merchantId === null)
      throw invalidRequest([{ path: 'merchant_id', message: 'is needed with a platform key' }]);
    const exact = exactFields(document);
    // Before the transaction, which must not stay open while a name server thinks.
    const judgement = await this.egress.judgeForRegistration(body.url);
    return this.posts.run(merchantId, call.key, call.contentHash, async (transaction) => {
      const secret = body.secret ?? generateSecret(randomBytes);
      const created = await this.endpoints.create(transaction, merchantId, (merchantDialect) => {
        const endpoint = newEndpoint(body, exact, {
          merchantDialect,
          secret,
          headerPrefix: this.headerPrefix,
          nowMs: this.clock.nowMs(),
        });
        refuseUrl(judgement);
        return endpoint;
      });
      switch (created.kind) {
        case 'created': {
          const view = this.#view(created.endpoint);
          await audit.record(transaction, { merchantId, target: view.id, after: view });
          return { status: 201, body: { ...view, ...viewVerifier(created.endpoint, created.secret) } };
        }
        case 'merchant_not_found':
          throw notFound();
        case 'too_many_endpoints':
          throw conflict(
            `The merchant has ${ENDPOINTS_PER_MERCHANT_MAX} webhooks, which is as many as there can be.`,
          );
      }
    });
  }

  @Get()
  @Scopes('webhooks:read')
  @Operation({
    id: 'listWebhooks',
    summary: 'List webhooks',
    status: 200,
    schema: webhookPage,
    errors: ['not_found', 'invalid_request'],
  })
  list(
    @MerchantScope() merchantId: string | null,
    @Query({ schema: webhookQuery }) query: z.infer<typeof webhookQuery>,
  ): Promise<z.infer<typeof webhookPage>> {
    const list = { list: 'webhooks', merchantId };
    return readPage(
      this.cursors,
      list,
      query,
      (page) => this.endpoints.list(merchantId ?? undefined, page),
      (endpoint) => this.#view(endpoint),
    );
  }

  @Get(':id')
  @Scopes('webhooks:read')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'getWebhook',
    summary: 'Get a webhook',
    status: 200,
    schema: webhookView,
    errors: ['not_found'],
  })
  read(@Loaded() endpoint: EndpointRecord): WebhookView {
    return this.#view(endpoint);
  }

  @Patch(':id')
  @Scopes('webhooks:write')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'updateWebhook',
    summary: 'Change a webhook',
    description: 'Fields that are left out stay as they are. Attempts made from now on follow it.',
    status: 200,
    schema: webhookView,
    errors: [...BODY_ERRORS, 'not_found', 'url_not_allowed'],
    audit: 'webhook.updated',
  })
  async update(
    @Loaded() { id, merchantId }: EndpointRecord,
    @Body({ schema: webhookUpdate }) body: WebhookUpdate,
    @BodyDocument() document: JsonDocument | null,
    @Audit() audit: AuditTrail,
  ): Promise<WebhookView> {
    if (body.url !== undefined) refuseUrl(await this.egress.judgeForRegistration(body.url));
    const exact = exactFields(document);
    // What changes nothing records nothing.
    audit.nothingChanged();
    const updated = await this.endpoints.update(
      { id, merchantId },
      (current, secrets) =>
        endpointChanges(body, exact, current, {
          secrets,
          headerPrefix: this.headerPrefix,
          nowMs: this.clock.nowMs(),
        }),
      audit.recording((before, after) => ({
        merchantId,
        target: formatId(ID_PREFIXES.endpoint, id),
        before: this.#view(before),
        after: this.#view(after),
        hiddenMembers: body.headers === undefined ? [] : ['headers'],
      })),
    );
    if (updated === null) throw notFound();
    return this.#view(updated);
  }

  @Delete(':id')
  @Scopes('webhooks:write')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'deleteWebhook',
    summary: 'Delete a webhook',
    description:
      'What is still open and not in flight is cancelled. Its log stays, under `GET /v1/deliveries?webhook_id=`.',
    status: 204,
    errors: ['not_found'],
    audit: 'webhook.deleted',
  })
  async delete(@Loaded() { id, merchantId }: EndpointRecord, @Audit() audit: AuditTrail): Promise<void> {
    const recording = audit.recording((before: EndpointRecord) => ({
      merchantId,
      target: formatId(ID_PREFIXES.endpoint, id),
      before: this.#view(before),
    }));
    if (!(await this.endpoints.delete({ id, merchantId }, recording))) throw notFound();
  }

  #view(endpoint: EndpointRecord): WebhookView {
    return viewWebhook(endpoint, this.clock.nowMs());
  }
}

/** Whose a new webhook is; null: the platform key has to say. @throws {ApiError} 404 for somebody else's */
function ownerOf(principal: Principal, merchantId: string | null | undefined): string | null {
  if (merchantId === null && principal.merchantId === null) return OPERATOR_ID;
  return actingMerchant(principal, merchantId);
}

/** @throws {ApiError} 422 `url_not_allowed` */
function refuseUrl(judgement: UrlJudgement): void {
  if (!judgement.ok) throw urlNotAllowed(judgement.reason);
}

function urlNotAllowed(reason: UrlRefusal): ApiError {
  return invalidRequest([{ path: 'url', message: REFUSALS[reason] }], 'url_not_allowed');
}

const REFUSALS: Readonly<Record<UrlRefusal, string>> = {
  url_malformed: 'must be an absolute URL without blanks or control characters',
  url_too_long: 'is too long',
  scheme_not_allowed: 'must have a scheme that is allowed here',
  credentials_not_allowed: 'must not have a user name or password',
  port_not_allowed: 'must have a port that is allowed here',
  address_not_allowed: 'must be at an address that is allowed here',
};
