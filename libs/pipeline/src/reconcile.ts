import type { DeliveryStore } from './delivery-store.js';

/**
 * Frees deliveries whose worker went away: their leases have ended and nobody settled them. Repeats while there is
 * more, so that the leases of a whole lost worker are freed at once. Resolves with how many were freed.
 */
export async function reconcile(store: Pick<DeliveryStore, 'reconcile'>): Promise<number> {
  let freed = 0;
  for (;;) {
    const now = await store.reconcile({ deliveriesMax: DELIVERIES_PER_STATEMENT_MAX });
    freed += now;
    if (now < DELIVERIES_PER_STATEMENT_MAX) return freed;
  }
}

/** A short transaction: other workers reconcile at the same time and skip what this one holds. */
const DELIVERIES_PER_STATEMENT_MAX = 500;
