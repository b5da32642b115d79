import { Inject, Injectable } from '@nestjs/common';
import type { Database } from '#adapters/postgres/database.js';
import { findRecovery, type Recovery } from '#adapters/postgres/recoveries.js';
import type { ResourceLoader } from '../http/resource.js';
import { DATABASE } from '../tokens.js';

@Injectable()
export class RecoveryLoader implements ResourceLoader<Recovery> {
  constructor(@Inject(DATABASE) private readonly database: Database) {}

  load(id: string, merchantId: string | null): Promise<Recovery | null> {
    return findRecovery(this.database, { id, merchantId: merchantId ?? undefined });
  }
}
