import { LRUCache } from 'lru-cache';
import { matchesEventType, patternsOfOperational } from '#domain/event-type-pattern.js';
import type { ScalarReader } from '#domain/json-scalar.js';
import { isOperationalEventType } from '#domain/operational-event.js';
import { OPERATOR_ID } from '#domain/operator.js';
import type { AcceptStore, MerchantSubscriptions, SubscribedEndpoint } from './accept-store.js';

/**
 * Who gets an event of a type. Cached by merchant, never by time: the version that a match was made with is checked
 * again by the transaction that writes the deliveries.
 */
export class Subscriptions {
  private readonly cache = new LRUCache<string, CachedMerchant>({ max: MERCHANTS_MAX });

  constructor(private readonly store: Pick<AcceptStore, 'loadSubscriptions'>) {}

  /** The merchants that exist and are active, loading in one statement those that are not cached. */
  async of(merchantIds: ReadonlySet<string>): Promise<ReadonlyMap<string, CachedMerchant>> {
    const found = new Map<string, CachedMerchant>();
    const missing: string[] = [];
    for (const id of merchantIds) {
      const cached = this.cache.get(id);
      if (cached === undefined) missing.push(id);
      else found.set(id, cached);
    }
    if (missing.length === 0) return found;
    for (const [id, loaded] of await this.store.loadSubscriptions(missing)) {
      const merchant = new CachedMerchant(loaded, id === OPERATOR_ID);
      this.cache.set(id, merchant);
      found.set(id, merchant);
    }
    return found;
  }

  forget(merchantId: string): void {
    this.cache.delete(merchantId);
  }
}

export class CachedMerchant {
  readonly configVersion: bigint;
  private readonly endpoints: readonly SubscribedEndpoint[];
  private readonly byType = new Map<string, readonly SubscribedEndpoint[]>();

  constructor(
    loaded: MerchantSubscriptions,
    private readonly isOperator: boolean,
  ) {
    this.configVersion = loaded.configVersion;
    this.endpoints = loaded.endpoints;
  }

  /** @param data asked for only when an endpoint that wants the type looks at data as well */
  endpointsFor(type: string, data: () => ScalarReader): readonly SubscribedEndpoint[] {
    const matching = this.endpointsForType(type);
    if (matching.every(({ filter }) => filter === null)) return matching;
    return matching.filter(({ filter }) => filter === null || filter(data()));
  }

  private endpointsForType(type: string): readonly SubscribedEndpoint[] {
    const known = this.byType.get(type);
    if (known !== undefined) return known;
    const matching = this.endpoints.filter(({ events }) => this.matches(events, type));
    if (this.byType.size >= TYPES_MAX) this.byType.clear();
    this.byType.set(type, matching);
    return matching;
  }

  private matches(patterns: readonly string[], type: string): boolean {
    if (!this.isOperator || !isOperationalEventType(type)) return matchesEventType(patterns, type);
    return patternsOfOperational(type, true).some((pattern) => patterns.includes(pattern));
  }
}

/** At about 2 KB for a typical merchant, some 20 MB when full. */
const MERCHANTS_MAX = 10_000;
/** Producers use dozens of types; more than this is somebody putting ids into type names. */
const TYPES_MAX = 500;
