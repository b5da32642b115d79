import type { PayloadFilter } from '#domain/payload-filter.js';
import type { PayloadFormat } from '#domain/payload-format.js';

/** What accept needs of the database. Each call is one statement and so one transaction. */
export interface AcceptStore {
  /**
   * Writes a batch whole or not at all. `stale` when a merchant's configuration, a key or the catalogue of event types is
   * not, inside this very transaction, what the batch was made with; `key_taken` when an idempotency key of the batch exists already.
   */
  write(batch: AcceptBatch): Promise<AcceptWritten>;
  /** The live rows of these idempotency keys. Expired ones are removed on the way. */
  findIdempotencyKeys(keys: readonly IdempotencyKey[]): Promise<readonly StoredIdempotencyKey[]>;
  findEvents(eventIds: readonly string[]): Promise<readonly StoredEvent[]>;
  /** Active merchants and their enabled endpoints; unknown merchants are absent. */
  loadSubscriptions(merchantIds: readonly string[]): Promise<ReadonlyMap<string, MerchantSubscriptions>>;
}

export interface MerchantSubscriptions {
  readonly configVersion: bigint;
  readonly endpoints: readonly SubscribedEndpoint[];
}

export interface SubscribedEndpoint {
  readonly id: string;
  /** Event type patterns. */
  readonly events: readonly string[];
  /** Null: it wants every event of those types. */
  readonly filter: PayloadFilter | null;
  readonly payloadFormat: PayloadFormat;
}

export interface AcceptBatch {
  readonly merchants: readonly { readonly id: string; readonly configVersion: bigint }[];
  /** Of the catalogue of event types that the events were judged by. */
  readonly catalogueVersion: bigint;
  /** The API keys that the batch's requests came with. */
  readonly apiKeyIds: readonly string[];
  readonly idempotencyKeys: readonly NewIdempotencyKey[];
  readonly events: readonly NewEvent[];
  readonly deliveries: readonly NewDelivery[];
}

export interface IdempotencyKey {
  /** `event`: a producer's own event id; `header`: an `Idempotency-Key`. */
  readonly kind: 'event' | 'header';
  readonly key: string;
  readonly merchantId: string;
}

export interface NewIdempotencyKey extends IdempotencyKey {
  readonly contentHash: Uint8Array;
  readonly eventIds: readonly string[];
}

export interface StoredIdempotencyKey extends IdempotencyKey {
  readonly contentHash: Uint8Array;
  /** Null when the key belongs to a call that was not about events. */
  readonly eventIds: readonly string[] | null;
}

export interface NewEvent {
  readonly id: string;
  readonly merchantId: string;
  readonly type: string;
  readonly data: Uint8Array;
  readonly createdAtMs: number;
  readonly createdAtText: string | null;
  readonly orderingKey: string | null;
  readonly producerId: string | null;
  readonly deliverAtMs: number | null;
  readonly deliveryCount: number;
  /** JSON Pointers to what of its stored data is to be masked later; none for most types. */
  readonly redact: readonly string[];
}

export interface NewDelivery {
  readonly id: string;
  /** Position of its event in the batch. */
  readonly eventIndex: number;
  readonly endpointId: string;
  readonly payloadFormat: PayloadFormat;
  /** The format cannot carry this event: the delivery is final from the start. */
  readonly hasPayloadConflict: boolean;
  /** A hint follows the commit; otherwise the sweep is to find it. */
  readonly isHinted: boolean;
}

export type AcceptWritten =
  | { readonly kind: 'written' }
  | {
      readonly kind: 'stale';
      readonly merchantIds: readonly string[];
      readonly apiKeyIds: readonly string[];
      readonly isCatalogueStale: boolean;
    }
  | { readonly kind: 'key_taken' };

/** What an answer to a repeated request is made from. */
export interface StoredEvent {
  readonly id: string;
  readonly merchantId: string;
  readonly type: string;
  readonly createdAtMs: number;
  readonly producerId: string | null;
  readonly deliveryCount: number;
}

/** A delivery that has just been committed and waits to be hinted. */
export interface OpenDelivery {
  readonly deliveryId: string;
  readonly endpointId: string;
  /** 0: at once. */
  readonly delayMs: number;
}
