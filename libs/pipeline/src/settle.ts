import { setTimeout as delay } from 'node:timers/promises';
import type { Claimed, ClaimRequest, DeliveryStore, Settled, Settlement } from './delivery-store.js';
import type { Dispatcher, DispatchStore } from './dispatch.js';
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
    store: Pick<DeliveryStore, 'settle'>,
    dispatcher: Pick<Dispatcher, 'retrying'>,
    faults: SettleFaults,
  ) {
    this.batches = new MicroBatch({
      run: async (settlements) => {
        // What a receiver answered is worth keeping: a success counts as long as the delivery is open, even after its lease has ended.
        const settled = await patiently(faults, () => store.settle(settlements));
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
}

/** Gives leases up before they end by themselves. */
export class Releaser {
  private readonly batches: MicroBatch<Claimed, null>;

  constructor(
    private readonly store: Pick<DeliveryStore, 'release' | 'reconcile' | 'cancel'> &
      Pick<DispatchStore, 'unhint'>,
    private readonly faults: Pick<SettleFaults, 'isDatabaseAway'>,
  ) {
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

  /**
   * Undoes a claim whose answer never came, as soon as the database is there again: it may have been made, and what was not
   * claimed is still marked as hinted. Either would keep its deliveries from everybody for a hint's or a lease's time.
   *
   * Gives up by itself: those times have passed by then.
   */
  async takeBack(claims: readonly ClaimRequest[], error: unknown): Promise<void> {
    if (!this.faults.isDatabaseAway(error)) return;
    await delay(AGAIN_MS);
    await patiently(this.faults, async () => {
      await this.store.release(claims);
      await this.store.unhint(claims.map(({ deliveryId }) => deliveryId));
    });
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

/** Runs something again and again while the database is away. @throws what `run` threw last */
async function patiently<Result>(
  faults: Pick<SettleFaults, 'isDatabaseAway'>,
  run: () => Promise<Result>,
): Promise<Result> {
  const giveUpMs = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!faults.isDatabaseAway(error) || performance.now() > giveUpMs) throw error;
      await delay(AGAIN_MS);
    }
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
