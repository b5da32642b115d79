import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import { isItemsFault } from '#adapters/postgres/database-error.js';
import type { Database } from '#adapters/postgres/database.js';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { DispatchReport } from '#observability/dispatch-report.js';
import type { IdMaker } from '#domain/ids.js';
import { Claimer } from '#pipeline/claim.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Deliverer } from '#pipeline/deliver.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import type { HintQueue } from '#pipeline/hint-queue.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Sender } from '#pipeline/sender.js';
import { Releaser, Settler } from '#pipeline/settle.js';
import type { Brand } from '#pipeline/sign.js';
import { Slots } from '#pipeline/slots.js';
import { Targets } from '#pipeline/targets.js';

export interface EngineParts {
  readonly database: Database;
  readonly secretBox: SecretBox;
  readonly sender: Sender;
  readonly hintQueue: HintQueue;
  readonly clock: DatabaseClock;
  readonly ids: IdMaker;
  readonly brand: Brand;
  readonly logger: Logger;
  readonly metrics: Registry;
}

/** The steps of the pipeline that a worker runs, put together on the real adapters. */
export interface DeliveryEngine {
  readonly deliverer: Deliverer;
  readonly dispatcher: Dispatcher;
  readonly store: PostgresDeliveryStore;
  readonly slots: Slots;
}

export function createDeliveryEngine(parts: EngineParts): DeliveryEngine {
  const monotonicMs = () => performance.now();
  const store = new PostgresDeliveryStore(parts.database, parts.secretBox);
  const dispatcher = new Dispatcher(store, parts.hintQueue, new DispatchReport(parts.logger, parts.metrics));
  const slots = new Slots(SLOTS);
  const deliverer = new Deliverer({
    claimer: new Claimer(store, parts.ids, monotonicMs),
    targets: new Targets(store),
    sender: parts.sender,
    settler: new Settler(store, dispatcher, isItemsFault),
    releaser: new Releaser(store),
    slots,
    brand: parts.brand,
    nowMs: () => parts.clock.nowMs(),
    monotonicMs,
    random: Math.random,
  });
  return { deliverer, dispatcher, store, slots };
}

/**
 * Deliveries that one worker has in hand at once. At some 100 KB for one that is being sent, that is 50 MB; at a
 * receiver's typical 100 ms it is 5,000 deliveries a second, more than one process can sign and log.
 */
export const SLOTS = 512;
