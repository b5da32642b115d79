import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { Database } from '#adapters/postgres/database.js';
import { eraseMerchant, findErasures } from '#adapters/postgres/erase-merchant.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';

/** Removes what merchants that were deleted have left, a turn of each at a time. */
export class Erasures {
  private readonly open: Gauge;
  private lastToldMs = -Infinity;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
    metrics: Registry,
  ) {
    this.open = new Gauge({
      name: 'posthorn_merchants_erasing',
      help: 'Merchants whose data is being removed.',
      registers: [metrics],
    });
  }

  async run(mayGoOn: () => boolean): Promise<{ readonly isMoreToCome: boolean }> {
    const merchantIds = await findErasures(this.database);
    this.open.set(merchantIds.length);
    let isMoreToCome = false;
    for (const id of merchantIds) {
      if (!mayGoOn()) break;
      const endMs = performance.now() + TURN_MS;
      try {
        const progress = await eraseMerchant(this.database, id, () => mayGoOn() && performance.now() < endMs);
        isMoreToCome ||= progress.kind === 'removing';
        this.tell(id, progress);
      } catch (error) {
        // One that cannot be erased keeps no other from it.
        this.log.error(
          { err: error, merchantId: formatId(ID_PREFIXES.merchant, id) },
          'erasing a merchant failed',
        );
      }
    }
    return { isMoreToCome };
  }

  private tell(id: string, progress: Awaited<ReturnType<typeof eraseMerchant>>): void {
    const merchantId = formatId(ID_PREFIXES.merchant, id);
    if (progress.kind === 'erased') {
      this.log.info({ merchantId, rowsRemoved: progress.rowsRemoved }, 'merchant erased');
      return;
    }
    const nowMs = performance.now();
    if (progress.kind === 'elsewhere' || nowMs - this.lastToldMs < TELL_AGAIN_MS) return;
    this.lastToldMs = nowMs;
    this.log.info({ merchantId, progress }, 'erasing a merchant');
  }
}

/** So that a merchant with little does not wait for one with millions of rows. */
const TURN_MS = 1_000;
const TELL_AGAIN_MS = 5_000;
