import { setTimeout as delay } from 'node:timers/promises';
import type { Claimed, DeliveryStore, Settled, Settlement } from './delivery-store.js';
import type { Dispatcher } from './dispatch.js';
import { MicroBatch } from './micro-batch.js';

/** What an error of the store says of whose doing it is. */
export interface SettleFaults {
  /** One row's own data. */
  isItems(error: unknown): boolean;
  /** Nobody can write now. */
  isDatabaseAway(error: unknown): boolean;
}

/** Writes what attempts came to, many to a commit, and hints what is to be tried again. */
export class Settler {
  private readonly batches: MicroBatch<Settlement, Settled>;

  constructor(
    private readonly store: Pick<DeliveryStore, 'settle'>,
    dispatcher: Pick<Dispatcher, 'retrying'>,
    private readonly faults: SettleFaults,
  ) {
    this.batches = new MicroBatch({
      run: async (settlements) => {
        const settled = await this.patiently(settlements);
        dispatcher.retrying(settled.flatMap((result) => (result.kind === 'retrying' ? [result.next] : [])));
        return settled;
      },
      itemsMax: SETTLEMENTS_PER_COMMIT_MAX,
      runsMax: COMMITS_AT_ONCE_MAX,
      gatherMs: GATHER_MS,
      weigh: ({ attempt }) => ROW_OVERHEAD_BYTES + (attempt.responseBody?.length ?? 0),
      weightMax: COMMIT_BYTES_MAX,
      isItemsFault: (error) => faults.isItems(error),
    });
  }

  /**
   * Resolves once the attempt is committed.
   * @throws {Error} when it could not be written; the lease then ends and the attempt is recorded as unknown.
   */
  settle(settlement: Settlement): Promise<Settled> {
    return this.batches.add(settlement);
  }

  /**
   * While the database is away, what a receiver answered is worth keeping: a success counts as long as the delivery is
   * open, even after its lease has ended.
   */
  private async patiently(settlements: readonly Settlement[]): Promise<readonly Settled[]> {
    const giveUpMs = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await this.store.settle(settlements);
      } catch (error) {
        if (!this.faults.isDatabaseAway(error) || performance.now() > giveUpMs) throw error;
        await delay(AGAIN_MS);
      }
    }
  }
}

/** Gives leases up before they end by themselves. */
export class Releaser {
  private readonly batches: MicroBatch<Claimed, null>;

  constructor(private readonly store: Pick<DeliveryStore, 'release' | 'reconcile' | 'cancel'>) {
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

  /** Ends a delivery that was claimed and can never be sent, because its event's bytes are erased. */
  async discard(claim: Claimed): Promise<void> {
    await this.release(claim);
    await this.store.cancel(claim.deliveryId);
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
/** Two at once would wait for each other at the gates of their endpoints. */
const COMMITS_AT_ONCE_MAX = 1;
/** While many answers come, a commit of fifteen costs each of them half of what one of five does. */
const GATHER_MS = 10;
/** Bounds one statement when many receivers answer with full bodies. */
const COMMIT_BYTES_MAX = 4 * 1024 * 1024;
/** What an attempt's row costs beside the response body. */
const ROW_OVERHEAD_BYTES = 1_024;
/** A restart of PostgreSQL takes seconds; after a minute the leases have ended and the attempts are unknown. */
const PATIENCE_MS = 60_000;
/** How soon a write is tried again. */
const AGAIN_MS = 250;
