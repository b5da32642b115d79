import { createHash } from 'node:crypto';
import { formatId, type IdMaker } from '#domain/ids.js';
import type { ScalarReader } from '#domain/json-scalar.js';
import { payloadConflict } from '#domain/payload-format.js';
import type {
  AcceptBatch,
  AcceptStore,
  IdempotencyKey,
  NewDelivery,
  NewEvent,
  NewIdempotencyKey,
  OpenDelivery,
  StoredEvent,
  StoredIdempotencyKey,
} from './accept-store.js';
import type { Dispatcher } from './dispatch.js';
import type { EventTypes, JudgedTypes } from './event-types.js';
import { type ReachFailpoint, UNARMED } from './failpoints.js';
import { MicroBatch } from './micro-batch.js';
import type { CachedMerchant, Subscriptions } from './subscriptions.js';

/** An event as the edge has validated it. */
export interface EventDraft {
  readonly merchantId: string;
  readonly type: string;
  /** From brace to brace, as it came. */
  readonly data: Uint8Array;
  /** Names of data's top-level members; asked for only where a payload format needs to know. */
  readonly dataKeys: () => readonly string[];
  /** What stands in data; asked for only where an endpoint filters, and then the same one each time. */
  readonly dataScalars: () => ScalarReader;
  readonly producerId: string | null;
  readonly createdAt: { readonly text: string; readonly ms: number } | null;
  readonly orderingKey: string | null;
  readonly deliverAt: { readonly text: string; readonly ms: number } | null;
}

export interface AcceptRequest {
  /** Null: it comes from Posthorn itself. */
  readonly apiKeyId: string | null;
  /** Of one request: taken all or none. No producer id stands in it twice. */
  readonly events: readonly EventDraft[];
  readonly idempotencyKey: { readonly key: string; readonly merchantId: string } | null;
}

export interface AcceptedEvent {
  readonly publicId: string;
  readonly type: string;
  readonly merchantId: string;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  readonly deliveries: number;
}

export type AcceptOutcome =
  | { readonly kind: 'accepted'; readonly events: readonly AcceptedEvent[] }
  /** No active merchant of that id; `index` is the event's position. */
  | { readonly kind: 'unknown_merchant'; readonly index: number }
  /** The id or key was used before for other content. `index` null: it is the Idempotency-Key. */
  | { readonly kind: 'conflict'; readonly index: number | null }
  /** The catalogue of event types does not let these events through. */
  | { readonly kind: 'type_refused'; readonly problems: readonly EventTypeProblem[] }
  /** The API key was revoked or has expired since it was looked up. */
  | { readonly kind: 'key_refused' };

/** `index` is the event's position in its request. */
export type EventTypeProblem =
  | { readonly kind: 'archived'; readonly index: number }
  | {
      readonly kind: 'schema_mismatch';
      readonly index: number;
      /** JSON Pointer into the event's data. */
      readonly pointer: string;
      readonly message: string;
    };

/**
 * The first step in the life of an event: match, write, and only then answer. Requests that come while a commit is
 * under way share the next one.
 */
export class Acceptor {
  private readonly batches: MicroBatch<AcceptRequest, AcceptOutcome>;

  constructor(
    private readonly store: AcceptStore,
    private readonly subscriptions: Subscriptions,
    private readonly eventTypes: EventTypes,
    private readonly ids: IdMaker,
    private readonly dispatcher: Pick<Dispatcher, 'willHint' | 'committed'>,
    private readonly reach: ReachFailpoint = UNARMED,
  ) {
    this.batches = new MicroBatch({
      run: (requests) => this.acceptAll(requests),
      itemsMax: REQUESTS_PER_COMMIT_MAX,
      runsMax: COMMITS_AT_ONCE_MAX,
      gatherMs: GATHER_MS,
      weigh: (request) =>
        request.events.reduce((sum, event) => sum + EVENT_OVERHEAD_BYTES + event.data.length, 0),
      weightMax: COMMIT_BYTES_MAX,
    });
  }

  /**
   * Resolves once the event and one delivery for each matching endpoint are committed.
   * @throws {Error} when the database is away; nothing was accepted then, or nobody knows, and a repeat with the
   * same id is safe.
   */
  accept(request: AcceptRequest): Promise<AcceptOutcome> {
    return this.batches.add(request);
  }

  drained(): Promise<void> {
    return this.batches.drained();
  }

  private async acceptAll(requests: readonly AcceptRequest[]): Promise<AcceptOutcome[]> {
    const pending = new Set(requests.map((request) => new PendingRequest(request)));
    const all = [...pending];
    for (let round = 0; pending.size > 0; round++) {
      if (round === ROUNDS_MAX) throw new Error(`accept did not settle in ${ROUNDS_MAX} rounds`);
      await this.round(withoutSharedKeys(pending), pending);
      for (const request of pending) if (request.outcome !== null) pending.delete(request);
    }
    return all.map((request) => request.outcome as AcceptOutcome);
  }

  /** Tries to commit these requests together; whatever stands in the way is settled or learnt for the next round. */
  private async round(
    requests: readonly PendingRequest[],
    pending: ReadonlySet<PendingRequest>,
  ): Promise<void> {
    const merchants = await this.subscriptions.of(merchantIdsOf(requests));
    const types = await this.eventTypes.of(typesOf(requests));
    const known = requests.filter((request) => request.refuseUnknownMerchant(merchants));
    const ready = known.filter((request) => request.typeProblems(types).length === 0);
    if (ready.length < known.length) {
      await this.refuseTypes(
        known.filter((request) => !ready.includes(request)),
        types,
      );
    }
    if (ready.length === 0) return;

    const plan = planBatch(ready, merchants, types, this.ids, this.dispatcher);
    const written = await this.store.write(plan.batch);
    switch (written.kind) {
      case 'written':
        this.reach('after-commit');
        for (const request of ready) request.accepted(plan.eventsOf(request));
        this.dispatcher.committed(plan.open);
        this.reach('before-answer');
        return;
      case 'stale':
        for (const merchantId of written.merchantIds) this.subscriptions.forget(merchantId);
        if (written.isCatalogueStale) this.eventTypes.forget(types.version);
        for (const request of ready) request.refuseKeys(written.apiKeyIds);
        return;
      case 'key_taken':
        await this.replay([...pending]);
        return;
    }
  }

  /**
   * Refuses what the catalogue does not let through, unless the catalogue has changed in the meantime. What was accepted
   * before is answered as it was then, whatever the catalogue says now.
   */
  private async refuseTypes(requests: readonly PendingRequest[], types: JudgedTypes): Promise<void> {
    if (!(await this.eventTypes.isCurrent(types))) return;
    const repeatable = requests.filter((request) => request.keys().length > 0);
    if (repeatable.length > 0) await this.replay(repeatable);
    for (const request of requests) request.refuseTypes(types);
  }

  /** Answers what was accepted before from what is stored, and refuses other content under the same key. */
  private async replay(requests: readonly PendingRequest[]): Promise<void> {
    const stored = new Map<string, StoredIdempotencyKey>();
    const keys = requests.flatMap((request) => request.keys());
    for (const row of await this.store.findIdempotencyKeys(keys)) stored.set(keyText(row), row);
    const eventIds = [...stored.values()].flatMap((row) => row.eventIds ?? []);
    const events = new Map((await this.store.findEvents(eventIds)).map((event) => [event.id, event]));
    for (const request of requests) request.replay(stored, events);
  }
}

/** A request on its way through the rounds. */
class PendingRequest {
  outcome: AcceptOutcome | null = null;
  readonly request: AcceptRequest;
  /** By position: the event that was accepted before under the same producer id. */
  readonly replayed: (StoredEvent | undefined)[] = [];
  private hashes: readonly Uint8Array[] | null = null;
  private requestHash: Uint8Array | null = null;
  private judged: { readonly version: bigint; readonly problems: readonly EventTypeProblem[] } | null = null;

  constructor(request: AcceptRequest) {
    this.request = request;
  }

  /** The idempotency keys that are still to be taken. */
  keys(): IdempotencyKey[] {
    const keys: IdempotencyKey[] = [];
    const { idempotencyKey, events } = this.request;
    if (idempotencyKey !== null) keys.push({ kind: 'header', ...idempotencyKey });
    for (const [index, event] of events.entries()) {
      if (event.producerId !== null && this.replayed[index] === undefined) {
        keys.push({ kind: 'event', key: event.producerId, merchantId: event.merchantId });
      }
    }
    return keys;
  }

  hashOf(index: number): Uint8Array {
    this.hashes ??= this.request.events.map(contentHash);
    return this.hashes[index] as Uint8Array;
  }

  /** Content of the whole request, for an Idempotency-Key: of each event also whose it is and its own id. */
  hash(): Uint8Array {
    if (this.requestHash === null) {
      const hash = createHash('sha256');
      for (const [index, event] of this.request.events.entries()) {
        hash.update(JSON.stringify([event.merchantId, event.producerId])).update(this.hashOf(index));
      }
      this.requestHash = hash.digest();
    }
    return this.requestHash;
  }

  /** Whether all merchants are there. */
  refuseUnknownMerchant(merchants: ReadonlyMap<string, CachedMerchant>): boolean {
    const index = this.request.events.findIndex((event) => !merchants.has(event.merchantId));
    if (index >= 0) this.outcome = { kind: 'unknown_merchant', index };
    return index < 0;
  }

  /** What the catalogue has against the events that were not accepted before. */
  typeProblems(types: JudgedTypes): readonly EventTypeProblem[] {
    if (this.judged?.version !== types.version) {
      const problems = this.request.events.flatMap((event, index) => problemsOfType(event, index, types));
      this.judged = { version: types.version, problems };
    }
    return this.judged.problems.filter(({ index }) => this.replayed[index] === undefined);
  }

  refuseTypes(types: JudgedTypes): void {
    const problems = this.typeProblems(types);
    if (this.outcome === null && problems.length > 0) this.outcome = { kind: 'type_refused', problems };
  }

  refuseKeys(apiKeyIds: readonly string[]): void {
    const { apiKeyId } = this.request;
    if (apiKeyId !== null && apiKeyIds.includes(apiKeyId)) this.outcome = { kind: 'key_refused' };
  }

  accepted(events: readonly AcceptedEvent[]): void {
    this.outcome = { kind: 'accepted', events };
  }

  replay(stored: ReadonlyMap<string, StoredIdempotencyKey>, events: ReadonlyMap<string, StoredEvent>): void {
    const { idempotencyKey } = this.request;
    const byHeader = idempotencyKey && stored.get(keyText({ kind: 'header', ...idempotencyKey }));
    if (byHeader) {
      const first = (byHeader.eventIds ?? []).map((id) => events.get(id));
      const isSame =
        sameBytes(byHeader.contentHash, this.hash()) && first.every((event) => event !== undefined);
      this.outcome = isSame
        ? { kind: 'accepted', events: first.map(asAccepted) }
        : { kind: 'conflict', index: null };
      return;
    }
    for (const [index, event] of this.request.events.entries()) {
      if (event.producerId === null) continue;
      const row = stored.get(keyText({ kind: 'event', key: event.producerId, merchantId: event.merchantId }));
      if (row === undefined) continue;
      const first = events.get(row.eventIds?.[0] ?? '');
      if (first === undefined || !sameBytes(row.contentHash, this.hashOf(index))) {
        this.outcome = { kind: 'conflict', index };
        return;
      }
      this.replayed[index] = first;
    }
    const isAllReplayed = this.request.events.every((_, index) => this.replayed[index] !== undefined);
    if (isAllReplayed && idempotencyKey === null) {
      this.accepted(this.replayed.map((event) => asAccepted(event as StoredEvent)));
    }
  }
}

interface BatchPlan {
  readonly batch: AcceptBatch;
  readonly open: readonly OpenDelivery[];
  eventsOf(request: PendingRequest): readonly AcceptedEvent[];
}

function planBatch(
  requests: readonly PendingRequest[],
  merchants: ReadonlyMap<string, CachedMerchant>,
  types: JudgedTypes,
  ids: IdMaker,
  dispatcher: Pick<Dispatcher, 'willHint'>,
): BatchPlan {
  // Not the clock itself: what this process accepts later stands later in every list.
  const acceptedAtMs = ids.millisecond();
  const events: NewEvent[] = [];
  const deliveries: NewDelivery[] = [];
  const idempotencyKeys: NewIdempotencyKey[] = [];
  const open: OpenDelivery[] = [];
  const answers = new Map<PendingRequest, AcceptedEvent[]>();

  for (const pending of requests) {
    const answer: AcceptedEvent[] = [];
    const eventIds: string[] = [];
    for (const [index, draft] of pending.request.events.entries()) {
      const replayed = pending.replayed[index];
      if (replayed !== undefined) {
        answer.push(asAccepted(replayed));
        eventIds.push(replayed.id);
        continue;
      }
      const endpoints = (merchants.get(draft.merchantId) as CachedMerchant).endpointsFor(
        draft.type,
        draft.dataScalars,
      );
      const id = ids.uuidAt(acceptedAtMs);
      const event: NewEvent = {
        id,
        merchantId: draft.merchantId,
        type: draft.type,
        data: draft.data,
        createdAtMs: draft.createdAt?.ms ?? acceptedAtMs,
        createdAtText: draft.createdAt?.text ?? null,
        orderingKey: draft.orderingKey,
        producerId: draft.producerId,
        deliverAtMs: draft.deliverAt?.ms ?? null,
        deliveryCount: endpoints.length,
        redact: types.redactionsOf(draft.type),
      };
      for (const endpoint of endpoints) {
        const hasPayloadConflict = payloadConflict(endpoint.payloadFormat, draft.type, draft.dataKeys);
        const delayMs = Math.max(0, (draft.deliverAt?.ms ?? 0) - acceptedAtMs);
        const isHinted = !hasPayloadConflict && dispatcher.willHint(endpoint.id, draft.merchantId, delayMs);
        // A delivery's id carries its event's millisecond, so that a filter by event is a range of ids.
        const deliveryId = ids.uuidAt(acceptedAtMs);
        deliveries.push({
          id: deliveryId,
          eventIndex: events.length,
          endpointId: endpoint.id,
          payloadFormat: endpoint.payloadFormat,
          hasPayloadConflict,
          isHinted,
        });
        if (isHinted) open.push({ deliveryId, endpointId: endpoint.id, delayMs });
      }
      if (draft.producerId !== null) {
        idempotencyKeys.push({
          kind: 'event',
          key: draft.producerId,
          merchantId: draft.merchantId,
          contentHash: pending.hashOf(index),
          eventIds: [id],
        });
      }
      events.push(event);
      eventIds.push(id);
      answer.push(asAccepted(event));
    }
    const { idempotencyKey } = pending.request;
    if (idempotencyKey !== null) {
      idempotencyKeys.push({ kind: 'header', ...idempotencyKey, contentHash: pending.hash(), eventIds });
    }
    answers.set(pending, answer);
  }

  return {
    batch: {
      merchants: [...merchants].map(([id, { configVersion }]) => ({ id, configVersion })),
      catalogueVersion: types.version,
      apiKeyIds: [...new Set(requests.map(({ request }) => request.apiKeyId))].filter((id) => id !== null),
      idempotencyKeys,
      events,
      deliveries,
    },
    open,
    eventsOf: (request) => answers.get(request) ?? [],
  };
}

function asAccepted(event: NewEvent | StoredEvent | undefined): AcceptedEvent {
  if (event === undefined) throw new TypeError('an event that is not there cannot be answered');
  return {
    publicId: event.producerId ?? formatId('evt', event.id),
    type: event.type,
    merchantId: event.merchantId,
    createdAtMs: event.createdAtMs,
    deliveries: event.deliveryCount,
  };
}

/** Of requests that use the same key, the first only: the others find its row in a later round. */
function withoutSharedKeys(pending: Iterable<PendingRequest>): PendingRequest[] {
  const taken = new Set<string>();
  const chosen: PendingRequest[] = [];
  for (const request of pending) {
    const keys = request.keys().map(keyText);
    if (keys.some((key) => taken.has(key))) continue;
    for (const key of keys) taken.add(key);
    chosen.push(request);
  }
  return chosen;
}

function merchantIdsOf(requests: readonly PendingRequest[]): Set<string> {
  const ids = new Set<string>();
  for (const { request } of requests) for (const event of request.events) ids.add(event.merchantId);
  return ids;
}

function typesOf(requests: readonly PendingRequest[]): Set<string> {
  const types = new Set<string>();
  for (const { request } of requests) for (const event of request.events) types.add(event.type);
  return types;
}

function problemsOfType(event: EventDraft, index: number, types: JudgedTypes): EventTypeProblem[] {
  if (types.isArchived(event.type)) return [{ kind: 'archived', index }];
  return types
    .problemsOf(event.type, event.data)
    .map((problem) => ({ kind: 'schema_mismatch', index, ...problem }));
}

/** What makes two uses of one id the same: type, data's bytes and the three optional texts as given. */
function contentHash(event: EventDraft): Uint8Array {
  const rest = [event.type, event.createdAt?.text ?? null, event.orderingKey, event.deliverAt?.text ?? null];
  return createHash('sha256').update(JSON.stringify(rest)).update(event.data).digest();
}

function keyText({ kind, key, merchantId }: IdempotencyKey): string {
  return `${kind} ${merchantId} ${key}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Past some hundred rows a commit gains nothing more by growing, and every request in it waits for the whole. */
const REQUESTS_PER_COMMIT_MAX = 500;
/** Two: one that PostgreSQL is writing, one that is being prepared. More would only make the batches smaller. */
const COMMITS_AT_ONCE_MAX = 2;
/** A fraction of what a commit takes under load; a producer that sends one after the other never waits for it. */
const GATHER_MS = 8;
/** Bounds the memory of one statement; one batch request of 8 MiB still fits. */
const COMMIT_BYTES_MAX = 8 * 1024 * 1024;
/** What a row costs beside its data. */
const EVENT_OVERHEAD_BYTES = 512;
/** Each round settles or learns at least one thing, so this many in a row mean a configuration in a storm of changes. */
const ROUNDS_MAX = 100;
