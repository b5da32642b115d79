import { LRUCache } from 'lru-cache';
import type { Claimed, DeliveryStore, Target } from './delivery-store.js';
import { MicroBatch } from './micro-batch.js';

/**
 * Endpoints with their secrets open, kept between attempts so that a secret is unsealed once a change and not once a
 * request. Each claim brings the endpoint's version: another one than is cached loads it anew.
 */
export class Targets {
  private readonly cache = new LRUCache<string, Target>({ max: TARGETS_MAX });
  private readonly loads: MicroBatch<string, Target | null>;

  constructor(store: Pick<DeliveryStore, 'loadTargets'>) {
    this.loads = new MicroBatch({
      run: async (endpointIds) => {
        const loaded = await store.loadTargets([...new Set(endpointIds)]);
        return endpointIds.map((id) => loaded.get(id) ?? null);
      },
      itemsMax: LOADS_PER_STATEMENT_MAX,
      runsMax: 1,
    });
  }

  /** Null when the endpoint was deleted since the claim. */
  async of(claim: Pick<Claimed, 'endpointId' | 'endpointVersion'>): Promise<Target | null> {
    const cached = this.cache.get(claim.endpointId);
    if (cached?.version === claim.endpointVersion) return cached;
    const loaded = await this.loads.add(claim.endpointId);
    if (loaded !== null) this.cache.set(claim.endpointId, loaded);
    return loaded;
  }
}

/** About 1 KB each. */
const TARGETS_MAX = 10_000;
const LOADS_PER_STATEMENT_MAX = 200;
