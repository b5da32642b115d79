import { Injectable } from '@nestjs/common';
import { DeliveryLog, type DeliveryRecord } from '#adapters/postgres/delivery-log.js';
import type { ResourceLoader } from '../http/resource.js';

@Injectable()
export class DeliveryLoader implements ResourceLoader<DeliveryRecord> {
  constructor(private readonly log: DeliveryLog) {}

  load(id: string, merchantId: string | null): Promise<DeliveryRecord | null> {
    return this.log.find({ id, merchantId: merchantId ?? undefined });
  }
}
