import type {
  AcceptBatch,
  AcceptStore,
  AcceptWritten,
  IdempotencyKey,
  MerchantSubscriptions,
  StoredEvent,
  StoredIdempotencyKey,
} from '#pipeline/accept-store.js';
import type { EventTypeCatalogue, EventTypeStore } from '#pipeline/event-types.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import type { Database, Statements } from './database.js';
import { loadSubscriptions } from './endpoints-load.js';
import { loadCatalogueVersion, loadEventTypes, loadEventTypeSchema } from './event-types-load.js';
import { findEvents, findIdempotencyKeys } from './find-accepted.js';
import { writeAccepted } from './write-accepted.js';

/** The accept step's port on PostgreSQL. */
export class PostgresAcceptStore implements AcceptStore, EventTypeStore {
  constructor(
    private readonly db: Database,
    private readonly statements: Statements,
    private readonly clock: DatabaseClock,
  ) {}

  write(batch: AcceptBatch): Promise<AcceptWritten> {
    return writeAccepted(this.statements, batch, this.clock);
  }

  findIdempotencyKeys(keys: readonly IdempotencyKey[]): Promise<readonly StoredIdempotencyKey[]> {
    return findIdempotencyKeys(this.db, keys);
  }

  findEvents(eventIds: readonly string[]): Promise<readonly StoredEvent[]> {
    return findEvents(this.db, eventIds);
  }

  loadSubscriptions(merchantIds: readonly string[]): Promise<ReadonlyMap<string, MerchantSubscriptions>> {
    return loadSubscriptions(this.db, merchantIds);
  }

  loadEventTypes(): Promise<EventTypeCatalogue> {
    return loadEventTypes(this.db);
  }

  loadEventTypeSchema(name: string, version: bigint): Promise<Uint8Array | null> {
    return loadEventTypeSchema(this.db, name, version);
  }

  loadCatalogueVersion(): Promise<bigint> {
    return loadCatalogueVersion(this.db);
  }
}
