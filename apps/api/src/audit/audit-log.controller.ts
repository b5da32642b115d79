import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type * as z from 'zod';
import type { Database } from '#adapters/postgres/database.js';
import { listAudit } from '#adapters/postgres/list-audit.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { Scopes } from '../auth/decorators.js';
import { MerchantScope } from '../auth/principal.js';
import { notFound } from '../http/api-error.js';
import { Operation } from '../openapi/operation.js';
import { Cursors } from '../paging/cursors.js';
import { readPage } from '../paging/page.js';
import { DATABASE } from '../tokens.js';
import { auditPage, auditQuery, type AuditQuery, viewAuditEntry } from './audit-log.schema.js';

@ApiTags('Audit log')
@Scopes('admin')
@Controller('v1/audit-log')
export class AuditLogController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    private readonly cursors: Cursors,
  ) {}

  @Get()
  @Operation({
    id: 'listAuditLog',
    summary: 'List the audit log',
    description:
      'Every call that changed something or showed a secret, recorded in the transaction of the change and never ' +
      'altered. Events are not in it: they are a log of their own. Filters combine freely.',
    status: 200,
    schema: auditPage,
    errors: ['not_found', 'invalid_request'],
  })
  list(
    @MerchantScope() merchantId: string | null,
    @Query({ schema: auditQuery }) query: AuditQuery,
  ): Promise<z.infer<typeof auditPage>> {
    const { limit, cursor, merchant_id: _merchant, ...filters } = query;
    const filter = {
      merchantId: merchantId ?? undefined,
      actor: query.actor,
      keyId: query.key_id === undefined ? undefined : keyIdOf(query.key_id),
      action: query.action,
      createdAfterMs: query.created_after,
      createdBeforeMs: query.created_before,
    };
    return readPage(
      this.cursors,
      { list: 'audit-log', merchantId, filters },
      { limit, cursor },
      (page) => listAudit(this.database, filter, page),
      viewAuditEntry,
    );
  }
}

/** @throws {ApiError} 404 for what is no key's id */
function keyIdOf(text: string): string {
  const id = parseId(ID_PREFIXES.apiKey, text);
  if (id === null) throw notFound();
  return id;
}
