import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Database } from '#adapters/postgres/database.js';
import { readStats } from '#adapters/postgres/delivery-stats.js';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { ID_PREFIXES } from '#domain/ids.js';
import { parseWindowMs, statsWindow } from '#domain/stats-window.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Scopes } from '../auth/decorators.js';
import { Loaded, Resource } from '../http/resource.js';
import { Operation } from '../openapi/operation.js';
import { DATABASE, DATABASE_CLOCK } from '../tokens.js';
import { WebhookLoader } from '../webhooks/webhook.loader.js';
import { type StatsQuery, statsQuery, statsView, type StatsView, viewStats } from './stats.schema.js';

@ApiTags('Webhooks')
@Controller('v1/webhooks')
export class StatsController {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(DATABASE_CLOCK) private readonly clock: DatabaseClock,
  ) {}

  @Get(':id/stats')
  @Scopes('deliveries:read')
  @Resource('id', ID_PREFIXES.endpoint, WebhookLoader)
  @Operation({
    id: 'getWebhookStats',
    summary: "Statistics of a webhook's attempts",
    description:
      'Every attempt whose end was seen counts, when it ended: first ones, retries, those by hand and of recoveries, and those ' +
      'that came too late to change their delivery. Test sends do not count, nor do attempts that were lost with the ' +
      'process that made them.',
    status: 200,
    schema: statsView,
    errors: ['not_found', 'invalid_request'],
  })
  async read(
    @Loaded() { id, merchantId }: EndpointRecord,
    @Query({ schema: statsQuery }) { window }: StatsQuery,
  ): Promise<StatsView> {
    const span = statsWindow(parseWindowMs(window) ?? 0, this.clock.nowMs());
    return viewStats(id, window, span, await readStats(this.database, { id, merchantId }, span));
  }
}
