import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import type { Database } from '#adapters/postgres/database.js';
import { loadDeliveryTargets } from '#adapters/postgres/load-delivery-targets.js';
import { effectiveEndpoint, type EndpointRecord } from '#adapters/postgres/endpoints-record.js';
import { findEventType } from '#adapters/postgres/event-types.js';
import { isEventType } from '#domain/event-type-pattern.js';
import { formatId, type IdMaker } from '#domain/ids.js';
import { buildPayload, payloadConflict } from '#domain/payload-format.js';
import { parseRawJson } from '#domain/raw-json.js';
import { maskJson } from '#domain/redaction.js';
import type { DatabaseClock } from '#pipeline/database-clock.js';
import { attemptRecord } from '#pipeline/deliver.js';
import type { AttemptRecord, Claimed, Target } from '#pipeline/delivery-store.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import type { Sender } from '#pipeline/sender.js';
import { type Brand, signRequest } from '#pipeline/sign.js';
import { ApiError, conflict, invalidRequest, notFound } from '../http/api-error.js';
import { utf8 } from '../http/json-text.js';
import { BRAND, DATABASE, DATABASE_CLOCK, ID_MAKER, SECRET_BOX, SENDER } from '../tokens.js';

/** Tests that one process sends at once: each may hold a socket and a caller for 30 s. */
const TESTS_AT_ONCE_MAX = 32;
/** Of one merchant, so that one whose receivers hang leaves room for the others. */
export const TESTS_OF_MERCHANT_MAX = 4;
const RETRY_AFTER_SECONDS = 1;

/** What a webhook that names no type of its own is tested with. */
export const TEST_EVENT_TYPE = 'posthorn.test';
/** For types that have no example. */
const EXAMPLE = Buffer.from('{"test":true}');

export interface TestAttempt {
  readonly id: string;
  readonly attempt: AttemptRecord;
  /** As it may be shown: what the type's redaction names is masked. */
  readonly body: string;
}

type TestEvent = Claimed & { readonly event: { readonly data: Uint8Array } };

/**
 * Sends example events at once, signed and formatted as real ones are and through the same guarded sender. Nothing of it
 * is stored or counted: no event, no delivery, no health.
 */
@Injectable()
export class WebhookTester implements BeforeApplicationShutdown {
  private readonly underWay = new Map<string, number>();
  /** Ends the waits for receivers. A promise for each: one for all would keep every answer it was raced against. */
  private readonly waits = new Set<(nothing: null) => void>();

  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(SECRET_BOX) private readonly secretBox: SecretBox,
    @Inject(SENDER) private readonly sender: Sender,
    @Inject(ID_MAKER) private readonly ids: IdMaker,
    @Inject(DATABASE_CLOCK) private readonly clock: DatabaseClock,
    @Inject(BRAND) private readonly brand: Brand,
  ) {}

  /**
   * @param type null: the first that the endpoint names, else {@link TEST_EVENT_TYPE}
   * @throws {ApiError} 409 for a disabled endpoint, 422 for a type that cannot be sent, 429 while too many are under way
   */
  async test(endpoint: EndpointRecord, type: string | null): Promise<TestAttempt> {
    if (endpoint.status === 'disabled') throw conflict('The webhook is disabled: enable or pause it first.');
    this.enter(endpoint.merchantId);
    try {
      return await this.send(endpoint, type ?? endpoint.events.find(isEventType) ?? TEST_EVENT_TYPE);
    } finally {
      this.leave(endpoint.merchantId);
    }
  }

  /** Whoever still waits for a receiver is told so at once; the requests end with the sender. */
  beforeApplicationShutdown(): void {
    for (const end of this.waits) end(null);
  }

  private async send(endpoint: EndpointRecord, type: string): Promise<TestAttempt> {
    const [eventType, targets] = await Promise.all([
      findEventType(this.database, type),
      loadDeliveryTargets(this.database, this.secretBox, [endpoint.id]),
    ]);
    const target = targets.get(endpoint.id);
    if (target === undefined) throw notFound();
    if (eventType !== null && eventType.archivedAt !== null)
      throw invalidRequest([{ path: 'type', message: 'is archived' }]);

    const event = this.eventOf(endpoint, type, eventType?.example ?? EXAMPLE);
    const attempt = await this.sendSigned(event, target);
    const shown = { ...event.event, data: maskJson(event.event.data, eventType?.redact ?? []) };
    const publicId = formatId('evt', event.eventId);
    const body = utf8(buildPayload(event.payloadFormat, { ...shown, publicId }));
    return { id: event.attemptId, attempt, body };
  }

  private async sendSigned(event: TestEvent, target: Target): Promise<AttemptRecord> {
    const startedAtMs = this.clock.nowMs();
    const request = signRequest(event, target, this.brand, Math.floor(startedAtMs / 1_000));
    const sent = this.sender.send({
      url: target.url,
      merchantId: event.merchantId,
      clientCertificate: target.clientCertificate,
      headers: request.headers,
      body: request.body,
      deadlineMs: performance.now() + target.timeoutMs,
    });
    const stopping = Promise.withResolvers<null>();
    this.waits.add(stopping.resolve);
    const result = await Promise.race([sent, stopping.promise]).finally(() =>
      this.waits.delete(stopping.resolve),
    );
    if (result === null) {
      sent.catch(() => undefined);
      throw new ApiError('unavailable', 'This process is stopping.', null, retryAfter());
    }
    return attemptRecord(result, target, request, startedAtMs);
  }

  private eventOf(endpoint: EndpointRecord, type: string, data: Uint8Array): TestEvent {
    const { payloadFormat } = effectiveEndpoint(endpoint.overrides, endpoint.merchantDialect);
    const document = parseRawJson(data);
    const dataKeys = (): string[] => document.members(document.root).map(({ key }) => key);
    if (payloadConflict(payloadFormat, type, dataKeys)) {
      const message = `the payload format ${payloadFormat} cannot carry its example`;
      throw invalidRequest([{ path: 'type', message }]);
    }
    return {
      deliveryId: this.ids.uuid(),
      leaseToken: '',
      attemptId: this.ids.uuid(),
      eventId: this.ids.uuid(),
      endpointId: endpoint.id,
      merchantId: endpoint.merchantId,
      endpointVersion: 0n,
      attemptNumber: 1,
      failures: 0,
      trigger: 'test',
      single: true,
      payloadFormat,
      typeScheduleSeconds: null,
      event: {
        producerId: null,
        type,
        createdAtMs: Math.floor(this.clock.nowMs()),
        createdAtText: null,
        data,
      },
    };
  }

  private enter(merchantId: string): void {
    const ofMerchant = this.underWay.get(merchantId) ?? 0;
    const all = [...this.underWay.values()].reduce((sum, count) => sum + count, 0);
    if (all >= TESTS_AT_ONCE_MAX || ofMerchant >= TESTS_OF_MERCHANT_MAX)
      throw new ApiError('rate_limited', 'Too many tests are under way.', null, retryAfter());
    this.underWay.set(merchantId, ofMerchant + 1);
  }

  private leave(merchantId: string): void {
    const left = (this.underWay.get(merchantId) ?? 0) - 1;
    if (left > 0) this.underWay.set(merchantId, left);
    else this.underWay.delete(merchantId);
  }
}

function retryAfter(): Readonly<Record<string, string>> {
  return { 'retry-after': String(RETRY_AFTER_SECONDS) };
}
