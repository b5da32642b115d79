import { Injectable } from '@nestjs/common';
import type * as z from 'zod';
import { DeliveryLog } from '#adapters/postgres/delivery-log.js';
import { EndpointRepository } from '#adapters/postgres/endpoints.js';
import { EventLog } from '#adapters/postgres/event-log.js';
import { ID_PREFIXES, parseId } from '#domain/ids.js';
import { notFound } from '../http/api-error.js';
import { Cursors } from '../paging/cursors.js';
import { readSearchPage } from '../paging/page.js';
import { type DeliveryQuery, type deliveryPage, viewDelivery } from './delivery.schema.js';

/** The one list of deliveries behind all the calls that list them. */
@Injectable()
export class DeliveryList {
  constructor(
    private readonly log: DeliveryLog,
    private readonly events: EventLog,
    private readonly endpoints: EndpointRepository,
    private readonly cursors: Cursors,
  ) {}

  /**
   * @param merchantId null: across merchants
   * @throws {ApiError} 404 for a webhook that is not there for this merchant; deleted ones are
   */
  async page(merchantId: string | null, query: DeliveryQuery): Promise<z.infer<typeof deliveryPage>> {
    const { limit, cursor, merchant_id: _merchant, ...filters } = query;
    const endpoint = await this.#endpoint(merchantId, query.webhook_id);
    const owner = endpoint?.merchantId ?? merchantId ?? undefined;
    const filter = {
      merchantId: owner,
      endpointId: endpoint?.id,
      status: query.status,
      outcome: query.outcome,
      statusCode: query.status_code,
      eventType: query.event_type,
      eventIds: query.event_id === undefined ? undefined : await this.events.idsOf(query.event_id, owner),
      createdAfterMs: query.created_after,
      createdBeforeMs: query.created_before,
    };
    const list = { list: 'deliveries', merchantId, filters };
    return readSearchPage(
      this.cursors,
      list,
      { limit, cursor },
      (page) => this.log.list(filter, page),
      viewDelivery,
    );
  }

  async #endpoint(
    merchantId: string | null,
    webhookId: string | undefined,
  ): Promise<{ readonly id: string; readonly merchantId: string } | null> {
    if (webhookId === undefined) return null;
    const id = parseId(ID_PREFIXES.endpoint, webhookId);
    const owner =
      id === null ? null : await this.endpoints.ownerOf({ id, merchantId: merchantId ?? undefined });
    if (id === null || owner === null) throw notFound();
    return { id, merchantId: owner };
  }
}
