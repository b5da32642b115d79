import { Injectable } from '@nestjs/common';
import type { EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { EndpointRepository } from '#adapters/postgres/endpoints.js';
import type { ResourceLoader } from '../http/resource.js';

@Injectable()
export class WebhookLoader implements ResourceLoader<EndpointRecord> {
  constructor(private readonly endpoints: EndpointRepository) {}

  load(id: string, merchantId: string | null): Promise<EndpointRecord | null> {
    return this.endpoints.get({ id, merchantId: merchantId ?? undefined });
  }
}
