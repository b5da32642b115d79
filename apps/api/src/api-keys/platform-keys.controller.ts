import { Body, Controller, Delete, Get, Inject, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import { listApiKeys, type ApiKey } from '#adapters/postgres/api-keys.js';
import type { Database } from '#adapters/postgres/database.js';
import type { PostAnswer } from '#adapters/postgres/idempotent-posts.js';
import { ID_PREFIXES } from '#domain/ids.js';
import { Audit, type AuditTrail } from '../audit/audit-trail.js';
import { Scopes } from '../auth/decorators.js';
import { Idempotency, type IdempotentCall } from '../http/idempotency.js';
import { Loaded, Resource } from '../http/resource.js';
import { BODY_ERRORS, Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE } from '../tokens.js';
import {
  apiKeyPage,
  apiKeyQuery,
  apiKeyView,
  newApiKeyView,
  platformKeyCreate,
  viewApiKey,
  type ApiKeyView,
} from './api-key.schema.js';
import { KeyIssuer } from './key-issuer.js';
import { PlatformKeyLoader } from './platform-key.loader.js';
import { revokeAudited } from './revoke-key.js';

const PLATFORM = { merchantId: null };

@ApiTags('API keys')
@Scopes('admin')
@Controller('v1/api-keys')
export class PlatformKeysController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    private readonly issuer: KeyIssuer,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Operation({
    id: 'createPlatformApiKey',
    summary: 'Create a platform key',
    status: 201,
    schema: newApiKeyView,
    errors: [...BODY_ERRORS, 'idempotency_conflict'],
    audit: 'api_key.created',
  })
  create(
    @Body({ schema: platformKeyCreate }) body: z.infer<typeof platformKeyCreate>,
    @Idempotency() call: IdempotentCall,
    @Audit() audit: AuditTrail,
  ): Promise<PostAnswer> {
    return this.issuer.issue(null, body, call, audit);
  }

  @Get()
  @Operation({
    id: 'listPlatformApiKeys',
    summary: 'List platform keys',
    status: 200,
    schema: apiKeyPage,
    errors: ['invalid_request'],
  })
  list(
    @Query({ schema: apiKeyQuery }) query: z.infer<typeof apiKeyQuery>,
  ): Promise<z.infer<typeof apiKeyPage>> {
    const list = { list: 'platform-api-keys', merchantId: null };
    return readPage(
      this.cursors,
      list,
      query,
      (page) => listApiKeys(this.database, PLATFORM, page),
      viewApiKey,
    );
  }

  @Get(':id')
  @Resource('id', ID_PREFIXES.apiKey, PlatformKeyLoader)
  @Operation({
    id: 'getPlatformApiKey',
    summary: 'Get a platform key',
    status: 200,
    schema: apiKeyView,
    errors: ['not_found'],
  })
  read(@Loaded() key: ApiKey): ApiKeyView {
    return viewApiKey(key);
  }

  @Delete(':id')
  @Resource('id', ID_PREFIXES.apiKey, PlatformKeyLoader)
  @Operation({
    id: 'revokePlatformApiKey',
    summary: 'Revoke a platform key',
    description: 'It is refused from the next request on, in every process.',
    status: 204,
    errors: ['not_found'],
    audit: 'api_key.revoked',
  })
  async revoke(@Loaded() key: ApiKey, @Audit() audit: AuditTrail): Promise<void> {
    await revokeAudited(this.database, PLATFORM, key.id, audit);
  }
}
