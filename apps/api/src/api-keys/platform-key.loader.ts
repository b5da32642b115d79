import { Inject, Injectable } from '@nestjs/common';
import { findApiKey, type ApiKey } from '#adapters/postgres/api-keys.js';
import type { Database } from '#adapters/postgres/database.js';
import type { ResourceLoader } from '../http/resource.js';
import { DATABASE } from '../tokens.js';

@Injectable()
export class PlatformKeyLoader implements ResourceLoader<ApiKey> {
  constructor(@Inject(DATABASE) private readonly database: Database) {}

  load(id: string): Promise<ApiKey | null> {
    return findApiKey(this.database, { merchantId: null }, id);
  }
}
