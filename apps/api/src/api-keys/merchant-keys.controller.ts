import { Body, Controller, Delete, Get, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import { listApiKeys } from '#adapters/postgres/api-keys.js';
import type { Database } from '#adapters/postgres/database.js';
import type { PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { lockActiveMerchant, type Merchant } from '#adapters/postgres/merchants.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { Audit, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { conflict, notFound } from '../http/api-error.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { MerchantLoader } from '../merchants/merchant.loader.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE } from '../tokens.js';
import { apiKeyPage, apiKeyQuery, merchantKeyCreate, newApiKeyView, viewApiKey } from './api-key.schema.js';
import { KeyIssuer } from './key-issuer.js';
import { revokeAudited } from './revoke-key.js';

@ApiTags('API keys')
@Scopes('admin')
@Resource('id', ID_PREFIXES.merchant, MerchantLoader)
@Controller('v1/merchants/:id/api-keys')
export class MerchantKeysController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    private readonly issuer: KeyIssuer,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Operation({
    id: 'createMerchantApiKey',
    summary: "Create a merchant's key",
    status: 201,
    schema: newApiKeyView,
    errors: [...BODY_ERRORS, 'not_found', 'conflict', 'idempotency_conflict'],
    audit: 'api_key.created',
  })
  create(
    @Loaded() merchant: Merchant,
    @Body({ schema: merchantKeyCreate }) body: z.infer<typeof merchantKeyCreate>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    return this.issuer.issue(merchant.id, body, call, audit, async (transaction) => {
      if (!(await lockActiveMerchant(transaction, merchant.id)))
        throw conflict('The merchant is being erased.');
    });
  }

  @Get()
  @Operation({
    id: 'listMerchantApiKeys',
    summary: "List a merchant's keys",
    status: 200,
    schema: apiKeyPage,
    errors: ['not_found', 'invalid_request'],
  })
  list(
    @Loaded() merchant: Merchant,
    @Query({ schema: apiKeyQuery }) query: z.infer<typeof apiKeyQuery>,
  ): Promise<z.infer<typeof apiKeyPage>> {
    const owner = { merchantId: merchant.id };
    const list = { list: 'merchant-api-keys', ...owner };
    return readPage(this.cursors, list, query, (page) => listApiKeys(this.database, owner, page), viewApiKey);
  }

  @Delete(':key_id')
  @Operation({
    id: 'revokeMerchantApiKey',
    summary: "Revoke a merchant's key",
    description: 'It is refused from the next request on, in every process.',
    status: 204,
    errors: ['not_found'],
    audit: 'api_key.revoked',
  })
  async revoke(
    @Loaded() merchant: Merchant,
    @Param('key_id') keyIdText: string,
    @Audit() audit: AuditTrail,
  ): Promise<void> {
    const keyId = parseId(ID_PREFIXES.apiKey, keyIdText);
    if (keyId === null) throw notFound();
    await revokeAudited(this.database, { merchantId: merchant.id }, keyId, audit);
  }
}
