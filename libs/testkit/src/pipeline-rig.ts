import { randomBytes } from 'node:crypto';
import { createAddressPolicy } from '#adapters/http-sender/address-policy.js';
import { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { parsePortRanges } from '#adapters/http-sender/port-ranges.js';
import { UndiciSender } from '#adapters/http-sender/undici-sender.js';
import { compileEventTypeSchema } from '#adapters/json-schema/event-type-schema.js';
import { PostgresAcceptStore } from '#adapters/postgres/accept-store.js';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { isDatabaseAway, isItemsFault } from '#adapters/postgres/database-error.js';
import { PostgresDeliveryStore } from '#adapters/postgres/delivery-store.js';
import { ensurePartitions } from '#adapters/postgres/partitions.js';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import { IdMaker } from '#domain/ids.js';
import { ScalarReader } from '#domain/json-scalar.js';
import { parseRawJson } from '#domain/raw-json.js';
import { Acceptor, type AcceptOutcome, type EventDraft } from '#pipeline/accept.js';
import { Claimer } from '#pipeline/claim.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import { Deliverer } from '#pipeline/deliver.js';
import { Dispatcher } from '#pipeline/dispatch.js';
import { EventTypes } from '#pipeline/event-types.js';
import { hintBudgets } from '#pipeline/hint-budget.js';
import type { Lane } from '#pipeline/hint-queue.js';
import { InFlight } from '#pipeline/in-flight.js';
import { PipelineStatements } from '#adapters/postgres/pipeline-statements.js';
import type { Sender } from '#pipeline/sender.js';
import { Releaser, Settler } from '#pipeline/settle.js';
import { Subscriptions } from '#pipeline/subscriptions.js';
import { Targets } from '#pipeline/targets.js';
import { DirectHintQueue } from './direct-hint-queue.js';

export interface PipelineRigOptions {
  readonly databaseUrl: string;
  /** The guarded sender with loopback let through, if left out. */
  readonly sender?: Sender;
}

/** The whole pipeline on a real database and real sockets, in one process, without any framework. */
export async function startPipelineRig(options: PipelineRigOptions): Promise<PipelineRig> {
  const database = connectDatabase(options.databaseUrl, 8);
  const clock = new DatabaseClock();
  await ensurePartitions(database, clock.nowMs());
  const statements = new PipelineStatements(options.databaseUrl, 4);
  const rig = new PipelineRig(database, statements, clock, options.sender ?? loopbackSender());
  await rig.prepare();
  return rig;
}

function loopbackSender(): UndiciSender {
  const addresses = createAddressPolicy({ allowCidrs: ['127.0.0.0/8', '::1/128'] });
  const egress = new EgressPolicy({ addresses, ports: parsePortRanges('1-65535'), allowHttp: true });
  return new UndiciSender({ egress });
}

export class PipelineRig {
  readonly ids: IdMaker;
  readonly queue = new DirectHintQueue();
  readonly secretBox = new AesGcmSecretBox([{ id: 'test', key: randomBytes(32) }]);
  readonly store: PostgresDeliveryStore;
  readonly dispatcher: Dispatcher;
  readonly deliverer: Deliverer;
  readonly acceptor: Acceptor;
  readonly inFlight = new InFlight(() => performance.now());
  readonly hintErrors: unknown[] = [];
  apiKeyId = '';

  constructor(
    readonly database: Database,
    private readonly statements: PipelineStatements,
    readonly clock: DatabaseClock,
    readonly sender: Sender,
  ) {
    this.ids = new IdMaker(() => clock.nowMs(), randomBytes);
    this.store = new PostgresDeliveryStore(database, statements, this.secretBox);
    const monotonicMs = () => performance.now();
    this.dispatcher = new Dispatcher(this.store, this.queue, hintBudgets(this.queue, monotonicMs), {
      hinted: () => undefined,
      hintsFailed: (_, error) => this.hintErrors.push(error),
    });
    const acceptStore = new PostgresAcceptStore(database, statements, clock);
    const subscriptions = new Subscriptions(acceptStore);
    const eventTypes = new EventTypes(acceptStore, compileEventTypeSchema);
    this.acceptor = new Acceptor(acceptStore, subscriptions, eventTypes, this.ids, this.dispatcher);
    this.deliverer = this.newDeliverer(this.inFlight);
    this.queue.listen((hint) => this.deliverer.begin(hint.lane, hint.deliveryIds));
  }

  async prepare(): Promise<void> {
    this.apiKeyId = this.ids.uuid();
    await this.database.apiKey.create({
      data: {
        id: this.apiKeyId,
        name: 'rig',
        prefix: 'rig',
        keyHash: randomBytes(32),
        scopes: ['events:write'],
      },
    });
  }

  /** Another worker's deliverer on the same database. */
  newDeliverer(inFlight = new InFlight(() => performance.now())): Deliverer {
    const monotonicMs = () => performance.now();
    const releaser = new Releaser(this.store, { isDatabaseAway });
    const claimer = (lane: Lane) => new Claimer(this.store, this.ids, inFlight, lane, monotonicMs, releaser);
    return new Deliverer({
      claimers: { fast: claimer('fast'), slow: claimer('slow'), suspect: claimer('suspect') },
      targets: new Targets(this.store, monotonicMs),
      sender: this.sender,
      settler: new Settler(this.store, this.dispatcher, { isItems: isItemsFault, isDatabaseAway }),
      releaser,
      inFlight,
      unhint: (deliveryIds) => this.store.unhint(deliveryIds),
      brand: { headerPrefix: 'X-Posthorn', userAgent: 'Posthorn/test' },
      nowMs: () => this.clock.nowMs(),
      monotonicMs,
      random: () => 0.5,
    });
  }

  async merchant(dialect = 'posthorn'): Promise<string> {
    const id = this.ids.uuid();
    await this.database.merchant.create({ data: { id, name: 'a merchant', dialect } });
    return id;
  }

  async endpoint(
    merchantId: string,
    url: string,
    overrides: {
      readonly events?: string[];
      readonly retryScheduleSeconds?: number[];
      readonly timeoutMs?: number;
      readonly payloadFormat?: string;
      readonly maxInFlight?: number;
      readonly rateLimitPerSecond?: number;
    } = {},
  ): Promise<string> {
    const id = this.ids.uuid();
    const secretId = this.ids.uuid();
    const { events = ['*'], ...columns } = overrides;
    await this.database.$transaction([
      this.database.endpoint.create({ data: { id, merchantId, url, events, ...columns } }),
      this.database.endpointGate.create({ data: { endpointId: id, merchantId } }),
      this.database.endpointSecret.create({
        data: {
          id: secretId,
          endpointId: id,
          sealed: this.secretBox.seal(Buffer.from(RIG_SECRET), secretId),
        },
      }),
      this.database.merchant.update({ where: { id: merchantId }, data: { configVersion: { increment: 1 } } }),
    ]);
    return id;
  }

  draft(merchantId: string, overrides: Partial<EventDraft> & { readonly json?: string } = {}): EventDraft {
    const { json = '{"amount":1.10}', ...rest } = overrides;
    return {
      merchantId,
      type: 'payment.success',
      data: Buffer.from(json),
      dataKeys: () => Object.keys(JSON.parse(json) as object),
      dataScalars: () => new ScalarReader(parseRawJson(Buffer.from(json))),
      producerId: null,
      createdAt: null,
      orderingKey: null,
      deliverAt: null,
      ...rest,
    };
  }

  send(...events: EventDraft[]): Promise<AcceptOutcome> {
    return this.acceptor.accept({ apiKeyId: this.apiKeyId, events, idempotencyKey: null });
  }

  async close(): Promise<void> {
    await this.acceptor.drained();
    await this.deliverer.stop(0);
    await this.dispatcher.drained();
    this.queue.close();
    await this.sender.close();
    await Promise.all([this.database.$disconnect(), this.statements.close()]);
  }
}

const RIG_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
