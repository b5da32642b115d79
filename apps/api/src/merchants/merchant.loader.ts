import { Inject, Injectable } from '@nestjs/common';
import type { Database } from '#adapters/postgres/database.js';
import { findMerchant, type Merchant } from '#adapters/postgres/merchants.js';
import type { ResourceLoader } from '../http/resource.js';
import { DATABASE } from '../tokens.js';

@Injectable()
export class MerchantLoader implements ResourceLoader<Merchant> {
  constructor(@Inject(DATABASE) private readonly database: Database) {}

  async load(id: string, merchantId: string | null): Promise<Merchant | null> {
    return merchantId === null || merchantId === id ? findMerchant(this.database, id) : null;
  }
}
