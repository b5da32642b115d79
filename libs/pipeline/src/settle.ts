import type { Claimed, DeliveryStore, Settled, Settlement } from './delivery-store.js';
import type { Dispatcher } from './dispatch.js';
import { MicroBatch } from './micro-batch.js';

/** Writes what attempts came to, many to a commit, and hints what is to be tried again. */
export class Settler {
  private readonly batches: MicroBatch<Settlement, Settled>;

  constructor(
    store: Pick<DeliveryStore, 'settle'>,
    dispatcher: Pick<Dispatcher, 'retrying'>,
    isItemsFault: (error: unknown) => boolean,
  ) {
    this.batches = new MicroBatch({
      run: async (settlements) => {
        const settled = await store.settle(settlements);
        dispatcher.retrying(settled.flatMap((result) => (result.kind === 'retrying' ? [result.next] : [])));
        return settled;
      },
      itemsMax: SETTLEMENTS_PER_COMMIT_MAX,
      runsMax: COMMITS_AT_ONCE_MAX,
      weigh: ({ attempt }) => ROW_OVERHEAD_BYTES + (attempt.responseBody?.length ?? 0),
      weightMax: COMMIT_BYTES_MAX,
      isItemsFault,
    });
  }

  /**
   * Resolves once the attempt is committed.
   * @throws {Error} when it could not be written; the lease then ends and the attempt is recorded as unknown.
   */
  settle(settlement: Settlement): Promise<Settled> {
    return this.batches.add(settlement);
  }
}

/** Gives leases up before they end by themselves. */
export class Releaser {
  private readonly batches: MicroBatch<Claimed, null>;

  constructor(private readonly store: Pick<DeliveryStore, 'release' | 'reconcile'>) {
    this.batches = new MicroBatch({
      run: async (claims) => {
        await store.release(claims);
        return claims.map(() => null);
      },
      itemsMax: SETTLEMENTS_PER_COMMIT_MAX,
      runsMax: 1,
    });
  }

  /** Undoes a claim that was never sent. */
  async release(claim: Claimed): Promise<void> {
    await this.batches.add(claim);
  }

  /** Records attempts whose end nobody will see as `unknown` and frees their deliveries. */
  async abandon(claims: readonly Claimed[]): Promise<void> {
    if (claims.length === 0) return;
    await this.store.reconcile({
      deliveriesMax: claims.length,
      leaseTokens: claims.map(({ leaseToken }) => leaseToken),
    });
  }
}

const SETTLEMENTS_PER_COMMIT_MAX = 256;
/** Two: one that PostgreSQL is writing, one that is being prepared. */
const COMMITS_AT_ONCE_MAX = 2;
/** Bounds one statement when many receivers answer with full bodies. */
const COMMIT_BYTES_MAX = 4 * 1024 * 1024;
/** What an attempt's row costs beside the response body. */
const ROW_OVERHEAD_BYTES = 1_024;
