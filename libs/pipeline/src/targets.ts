import { LRUCache } from 'lru-cache';
import type { Claimed, DeliveryStore, Target } from './delivery-store.js';
import { MicroBatch } from './micro-batch.js';

interface Cached {
  readonly target: Target;
  /** When the first of its secrets ends, on the monotonic clock. */
  readonly untilMs: number;
}

/**
 * Endpoints with their secrets open, kept between attempts so that a secret is unsealed once a change and not once a
 * request. Each claim brings the endpoint's version: another one than is cached loads it anew, and so does the end of a
 * secret. Its moment is the database's: it tells how long is left, and this counts down, so no wall clock has a say.
 */
export class Targets {
  private readonly cache = new LRUCache<string, Cached>({ max: TARGETS_MAX });
  private readonly loads: MicroBatch<string, Cached | null>;

  constructor(
    store: Pick<DeliveryStore, 'loadTargets'>,
    private readonly monotonicMs: () => number,
  ) {
    this.loads = new MicroBatch({
      run: async (endpointIds) => {
        // Taken before the database is asked, so that a secret is given up a moment early and never late.
        const askedMs = monotonicMs();
        const loaded = await store.loadTargets([...new Set(endpointIds)]);
        return endpointIds.map((id) => {
          const target = loaded.get(id);
          return target === undefined ? null : { target, untilMs: askedMs + (target.liveForMs ?? Infinity) };
        });
      },
      itemsMax: LOADS_PER_STATEMENT_MAX,
      runsMax: 1,
    });
  }

  /** Null when the endpoint was deleted since the claim. */
  async of(claim: Pick<Claimed, 'endpointId' | 'endpointVersion'>): Promise<Target | null> {
    const cached = this.cache.get(claim.endpointId);
    if (cached?.target.version === claim.endpointVersion && this.monotonicMs() < cached.untilMs) {
      return cached.target;
    }
    const loaded = await this.loads.add(claim.endpointId);
    if (loaded !== null) this.cache.set(claim.endpointId, loaded);
    return loaded?.target ?? null;
  }
}

/** About 1 KB each. */
const TARGETS_MAX = 10_000;
const LOADS_PER_STATEMENT_MAX = 200;
