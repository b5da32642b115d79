import { PostgresAcceptStore } from '#adapters/postgres/accept-store.js';
import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import { isDatabaseAway, isItemsFault } from '#adapters/postgres/database-error.js';
import type { Database, OrderedStatements } from '#adapters/postgres/database.js';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { DispatchReport } from '#observability/dispatch-report.js';
import { compileEventTypeSchema } from '#adapters/json-schema/event-type-schema.js';
import type { IdMaker } from '#domain/ids.js';
import { Acceptor } from '#pipeline/accept.js';
import { Claimer } from '#pipeline/claim.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { Deliverer } from '#pipeline/deliver.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import { EventTypes } from '#pipeline/event-types.js';
import type { ReachFailpoint } from '#pipeline/failpoints.js';
import { hintBudgets } from '#pipeline/hint-budget.js';
import type { HintQueue, Lane } from '#pipeline/hint-queue.js';
import { InFlight } from '#pipeline/in-flight.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Sender } from '#pipeline/sender.js';
import { Releaser, Settler } from '#pipeline/settle.js';
import type { Brand } from '#pipeline/sign.js';
import { Subscriptions } from '#pipeline/subscriptions.js';
import { Targets } from '#pipeline/targets.js';

export interface EngineParts {
  readonly database: Database;
  readonly statements: OrderedStatements;
  readonly secretBox: SecretBox;
  readonly sender: Sender;
  readonly hintQueue: HintQueue;
  readonly clock: DatabaseClock;
  readonly ids: IdMaker;
  readonly brand: Brand;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** For tests by faults only. */
  readonly reachFailpoint?: ReachFailpoint;
}

/** The steps of the pipeline that a worker runs, put together on the real adapters. */
export interface DeliveryEngine {
  readonly deliverer: Deliverer;
  readonly dispatcher: Dispatcher;
  readonly store: PostgresDeliveryStore;
  readonly inFlight: InFlight;
  /** For the events that Posthorn itself has to tell. */
  readonly acceptor: Acceptor;
}

export function createDeliveryEngine(parts: EngineParts): DeliveryEngine {
  const monotonicMs = () => performance.now();
  const store = new PostgresDeliveryStore(parts.database, parts.statements, parts.secretBox);
  const report = new DispatchReport(parts.logger, parts.metrics);
  const budgets = hintBudgets(parts.hintQueue, monotonicMs);
  const dispatcher = new Dispatcher(store, parts.hintQueue, budgets, report);
  const inFlight = new InFlight(monotonicMs);
  const releaser = new Releaser(store, { isDatabaseAway });
  const claimer = (lane: Lane) => new Claimer(store, parts.ids, inFlight, lane, monotonicMs, releaser);
  const deliverer = new Deliverer({
    claimers: { fast: claimer('fast'), slow: claimer('slow'), suspect: claimer('suspect') },
    targets: new Targets(store, monotonicMs),
    sender: parts.sender,
    settler: new Settler(store, dispatcher, { isItems: isItemsFault, isDatabaseAway }),
    releaser,
    inFlight,
    unhint: (deliveryIds) => store.unhint(deliveryIds),
    brand: parts.brand,
    nowMs: () => parts.clock.nowMs(),
    monotonicMs,
    random: Math.random,
    ...(parts.reachFailpoint !== undefined && { reach: parts.reachFailpoint }),
  });
  const acceptStore = new PostgresAcceptStore(parts.database, parts.statements, parts.clock);
  const acceptor = new Acceptor(
    acceptStore,
    new Subscriptions(acceptStore),
    new EventTypes(acceptStore, compileEventTypeSchema),
    parts.ids,
    dispatcher,
  );
  return { deliverer, dispatcher, store, inFlight, acceptor };
}
