import { Body, Controller, Get, Inject, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import type { Database } from '#adapters/postgres/database.js';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { IdempotentPosts, type PostAnswer, type Transaction } from '#adapters/postgres/idempotent-posts.js';
import {
  countRecoverable,
  type RecoverableCount,
  recoveryMoment,
  type RecoveryScope,
} from '#adapters/postgres/recoverable.js';
import {
  cancelRecovery,
  createRecovery,
  listRecoveries,
  type Recovery,
} from '#adapters/postgres/recoveries.js';
import { formatId, ID_PREFIXES, type IdMaker } from '#domain/ids.js';
import { Audit, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { conflict, invalidRequest, notFound } from '../http/api-error.js';
import { emptyBody, viewOwner } from '../http/fields.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE, ID_MAKER } from '../tokens.js';
import { WebhookLoader } from '../webhooks/webhook.loader.js';
import { RecoveryLoader } from './recovery.loader.js';
import {
  recoveryCreate,
  type RecoveryCreate,
  recoveryPage,
  recoveryQuery,
  recoveryView,
  type RecoveryView,
  viewRecovery,
} from './recovery.schema.js';

@ApiTags('Recoveries')
@Controller('v1')
export class RecoveriesController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(ID_MAKER) private readonly ids: IdMaker,
    private readonly posts: IdempotentPosts,
    private readonly cursors: Cursors,
  ) {}

  @Post('webhooks/:id/recoveries')
  @Scopes('deliveries:retry')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'createRecovery',
    summary: "Send a webhook's final deliveries again",
    description:
      'Workers open them again, the oldest first, with their schedules started anew; attempts go on being numbered. It ' +
      'survives restarts, reaches this webhook only, and each delivery is opened once. Of a paused webhook they are held ' +
      'until it is resumed. `conflict` while the webhook is disabled, and while another recovery of it that may open some ' +
      'of the same deliveries is running: `data.recovery_id` names that one. `invalid_request` when every delivery that ' +
      'was asked for is past retention, erased or redacted: the message says how many.',
    status: 202,
    schema: recoveryView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict'],
    audit: 'recovery.created',
  })
  async create(
    @Loaded() endpoint: EndpointRecord,
    @Body({ schema: recoveryCreate }) body: RecoveryCreate,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    const scope = scopeOf(endpoint, body, await recoveryMoment(this.database));
    // Before the transaction, because there may be millions.
    const counted = await countRecoverable(this.database, scope);
    return this.posts.run(endpoint.merchantId, call.key, call.contentHash, async (transaction) => {
      if (body.dry_run) {
        audit.nothingChanged();
        return { status: 202, body: viewDryRun(endpoint, body, scope, counted) };
      }
      const recovery = await this.#begin(transaction, endpoint, body, scope, counted);
      const view = viewRecovery(recovery);
      const target = formatId(ID_PREFIXES.recovery, recovery.id);
      await audit.record(transaction, { merchantId: endpoint.merchantId, target, after: view });
      return { status: 202, body: view };
    });
  }

  @Get('webhooks/:id/recoveries')
  @Scopes('deliveries:read')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'listRecoveries',
    summary: "List a webhook's recoveries",
    status: 200,
    schema: recoveryPage,
    errors: ['not_found', 'invalid_request'],
  })
  list(
    @Loaded() { id, merchantId }: EndpointRecord,
    @Query({ schema: recoveryQuery }) query: z.infer<typeof recoveryQuery>,
  ): Promise<z.infer<typeof recoveryPage>> {
    const list = { list: 'recoveries', merchantId, filters: { endpoint: id } };
    return readPage(
      this.cursors,
      list,
      query,
      (page) => listRecoveries(this.database, { id, merchantId }, page),
      viewRecovery,
    );
  }

  @Get('recoveries/:id')
  @Scopes('deliveries:read')
  @Resource('id', ID_PREFIXES.recovery, RecoveryLoader)
  @Operation({
    id: 'getRecovery',
    summary: 'Get a recovery',
    status: 200,
    schema: recoveryView,
    errors: ['not_found'],
  })
  read(@Loaded() recovery: Recovery): RecoveryView {
    return viewRecovery(recovery);
  }

  @Post('recoveries/:id/cancel')
  @Scopes('deliveries:retry')
  @Resource('id', ID_PREFIXES.recovery, RecoveryLoader)
  @Operation({
    id: 'cancelRecovery',
    summary: 'Cancel a recovery',
    description:
      'Nothing further is opened again; what is open goes on. `conflict` when it has ended already.',
    status: 202,
    schema: recoveryView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict'],
    audit: 'recovery.cancelled',
  })
  cancel(
    @Loaded() recovery: Recovery,
    @Body({ schema: emptyBody }) _body: z.infer<typeof emptyBody>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    const { id, merchantId } = recovery;
    return this.posts.run(merchantId, call.key, call.contentHash, async (transaction) => {
      const cancelled = await cancelRecovery(transaction, { id, merchantId });
      if (cancelled === null) throw conflict('The recovery has ended already.');
      const [before, after] = [viewRecovery(recovery), viewRecovery(cancelled)];
      await audit.record(transaction, {
        merchantId,
        target: formatId(ID_PREFIXES.recovery, id),
        before,
        after,
      });
      return { status: 202, body: after };
    });
  }

  /** @throws {ApiError} 404, 409 or 422 for what cannot be recovered now */
  async #begin(
    transaction: Transaction,
    { merchantId }: EndpointRecord,
    body: RecoveryCreate,
    scope: RecoveryScope,
    counted: RecoverableCount,
  ): Promise<Recovery> {
    if (counted.recoverable === 0 && counted.lost > 0) throw nothingLeft(counted.lost);
    const created = await createRecovery(transaction, {
      id: this.ids.uuid(),
      merchantId,
      scope,
      ratePerSecond: body.rate_per_second,
      counted,
    });
    switch (created.kind) {
      case 'created':
        return created.recovery;
      case 'not_found':
        throw notFound();
      case 'endpoint_disabled':
        throw conflict('The webhook is disabled.');
      case 'overlaps':
        throw conflict(`${created.recoveryId}, which is running, may open some of the same deliveries.`, {
          recovery_id: created.recoveryId,
        });
    }
  }
}

/** @throws {ApiError} 422 when it begins in the future */
function scopeOf({ id, merchantId }: EndpointRecord, body: RecoveryCreate, now: Date): RecoveryScope {
  if (body.since >= now.getTime()) throw invalidRequest([{ path: 'since', message: 'must be in the past' }]);
  return {
    endpointId: id,
    merchantId,
    since: new Date(Math.max(0, body.since)),
    until: new Date(Math.min(body.until ?? Infinity, now.getTime())),
    statuses: body.statuses,
    eventTypes: body.event_types ?? [],
    asOf: now,
  };
}

function nothingLeft(deliveries: number) {
  const message = `matches ${deliveries} deliveries, and none of their events can be sent again: they are past retention, erased or redacted`;
  return invalidRequest([{ path: '', message }]);
}

function viewDryRun(
  endpoint: EndpointRecord,
  body: RecoveryCreate,
  scope: RecoveryScope,
  counted: RecoverableCount,
): RecoveryView {
  return {
    id: null,
    webhook_id: formatId(ID_PREFIXES.endpoint, endpoint.id),
    merchant_id: viewOwner(endpoint.merchantId),
    since: scope.since.toISOString(),
    until: scope.until.toISOString(),
    statuses: [...body.statuses],
    event_types: body.event_types,
    rate_per_second: body.rate_per_second,
    status: 'dry_run',
    total: counted.recoverable,
    done: 0,
    skipped: counted.lost,
    created_at: scope.asOf.toISOString(),
    completed_at: null,
  };
}
