import { Body, Controller, Delete, Get, Inject, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import { databaseErrorCode, UNIQUE_VIOLATION } from '#adapters/postgres/database-error.js';
import type { Database } from '#adapters/postgres/database.js';
import { IdempotentPosts, type PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import {
  beginErasingMerchant,
  insertMerchant,
  listMerchants,
  updateMerchant,
  type Merchant,
} from '#adapters/postgres/merchants.js';
import { ID_PREFIXES, type IdMaker } from '#domain/ids.js';
import { Audit, type AuditedCall, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { conflict, invalidRequest, notFound } from '../http/api-error.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE, ID_MAKER, RETENTION_DAYS } from '../tokens.js';
import { MerchantLoader } from './merchant.loader.js';
import {
  erasingView,
  merchantCreate,
  merchantPage,
  merchantQuery,
  merchantUpdate,
  merchantView,
  viewMerchant,
  type MerchantView,
} from './merchant.schema.js';

@ApiTags('Merchants')
@Scopes('admin')
@Controller('v1/merchants')
export class MerchantsController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(ID_MAKER) private readonly ids: IdMaker,
    private readonly posts: IdempotentPosts,
    private readonly cursors: Cursors,
    @Inject(RETENTION_DAYS) private readonly retentionDays: number,
  ) {}

  @Post()
  @Operation({
    id: 'createMerchant',
    summary: 'Create a merchant',
    status: 201,
    schema: merchantView,
    errors: [...BODY_ERRORS, 'conflict', 'idempotency_conflict'],
    audit: 'merchant.created',
  })
  create(
    @Body({ schema: merchantCreate }) body: z.infer<typeof merchantCreate>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    this.#checkPayloadRetention(body.payload_retention_days);
    const work = this.posts.run(null, call.key, call.contentHash, async (transaction) => {
      const merchant = await insertMerchant(transaction, {
        id: this.ids.uuid(),
        name: body.name,
        externalId: body.external_id,
        dialect: body.dialect,
        payloadRetentionDays: body.payload_retention_days,
        metadata: body.metadata,
      });
      const view = viewMerchant(merchant);
      await audit.record(transaction, { merchantId: merchant.id, target: view.id, after: view });
      return { status: 201, body: view };
    });
    return work.catch(externalIdTaken);
  }

  @Get()
  @Operation({
    id: 'listMerchants',
    summary: 'List merchants',
    status: 200,
    schema: merchantPage,
    errors: ['invalid_request'],
  })
  list(
    @Query({ schema: merchantQuery }) query: z.infer<typeof merchantQuery>,
  ): Promise<z.infer<typeof merchantPage>> {
    const list = { list: 'merchants', merchantId: null };
    return readPage(this.cursors, list, query, (page) => listMerchants(this.database, page), viewMerchant);
  }

  @Get(':id')
  @Resource('id', ID_PREFIXES.merchant, MerchantLoader)
  @Operation({
    id: 'getMerchant',
    summary: 'Get a merchant',
    status: 200,
    schema: merchantView,
    errors: ['not_found'],
  })
  read(@Loaded() merchant: Merchant): MerchantView {
    return viewMerchant(merchant);
  }

  @Patch(':id')
  @Resource('id', ID_PREFIXES.merchant, MerchantLoader)
  @Operation({
    id: 'updateMerchant',
    summary: 'Change a merchant',
    description:
      'A new dialect holds for attempts made from now on; a delivery keeps the payload format that it was accepted with.',
    status: 200,
    schema: merchantView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict'],
    audit: 'merchant.updated',
  })
  async update(
    @Loaded() merchant: Merchant,
    @Body({ schema: merchantUpdate }) body: z.infer<typeof merchantUpdate>,
    @Audit() audit: AuditTrail,
  ): Promise<MerchantView> {
    const { name, external_id: externalId, dialect, metadata } = body;
    const { payload_retention_days: payloadRetentionDays } = body;
    this.#checkPayloadRetention(payloadRetentionDays);
    const changes = {
      ...(name === undefined ? {} : { name }),
      ...(externalId === undefined ? {} : { externalId }),
      ...(dialect === undefined ? {} : { dialect }),
      ...(payloadRetentionDays === undefined ? {} : { payloadRetentionDays }),
      ...(metadata === undefined ? {} : { metadata }),
    };
    const updated = await updateMerchant(
      this.database,
      merchant.id,
      changes,
      audit.recording(auditedMerchant),
    ).catch(externalIdTaken);
    if (updated === null) throw conflict('The merchant is being erased.');
    return viewMerchant(updated);
  }

  @Delete(':id')
  @Resource('id', ID_PREFIXES.merchant, MerchantLoader)
  @Operation({
    id: 'eraseMerchant',
    summary: 'Erase a merchant',
    description:
      'Its keys are dead at once, and nothing is sent for it any more. What it had and what was logged of it is then ' +
      'removed in the background; until that is done it can be read with the status `erasing`, and after that it is `not_found`.',
    status: 202,
    schema: erasingView,
    errors: ['not_found'],
    audit: 'merchant.erased',
  })
  async erase(
    @Loaded() merchant: Merchant,
    @Audit() audit: AuditTrail,
  ): Promise<z.infer<typeof erasingView>> {
    const isThere = await beginErasingMerchant(this.database, merchant.id, audit.recording(auditedMerchant));
    if (!isThere) throw notFound();
    return { status: 'erasing' };
  }

  /** @throws {ApiError} 422 when it is longer than the log is kept */
  #checkPayloadRetention(days: number | null | undefined): void {
    if ((days ?? 0) <= this.retentionDays) return;
    const message = `must be at most ${this.retentionDays}, the days that the log is kept`;
    throw invalidRequest([{ path: 'payload_retention_days', message }]);
  }
}

function auditedMerchant(before: Merchant, after: Merchant): AuditedCall {
  const views = { before: viewMerchant(before), after: viewMerchant(after) };
  return { merchantId: after.id, target: views.after.id, ...views };
}

function externalIdTaken(error: unknown): never {
  if (databaseErrorCode(error) === UNIQUE_VIOLATION) {
    throw conflict('Another merchant has this external_id.');
  }
  throw error;
}
