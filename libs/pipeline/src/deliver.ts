import { judgeAnswer } from '#domain/acknowledgement.js';
import { type Outcome, decideNextStep } from '#domain/attempt-outcome.js';
import { parseRetryAfter } from '#domain/retry-schedule.js';
import type { Claimer, HeldClaim } from './claim.js';
import type { ReachFailpoint } from './failpoints.js';
import type { AttemptRecord, Claimed, SettlementStep, Target } from './delivery-store.js';
import { LEASE_GRACE_MS } from './delivery-store.js';
import type { Lane } from './hint-queue.js';
import type { InFlight } from './in-flight.js';
import type { Releaser, Settler } from './settle.js';
import type { Sender, SendResult } from './sender.js';
import { type Brand, signRequest, type SignedRequest } from './sign.js';
import type { Targets } from './targets.js';

export interface DelivererParts {
  readonly claimers: Readonly<Record<Lane, Claimer>>;
  readonly targets: Targets;
  readonly sender: Sender;
  readonly settler: Settler;
  readonly releaser: Releaser;
  readonly inFlight: InFlight;
  /** Hands deliveries that were hinted to this worker back to the sweep of any. */
  readonly unhint: (deliveryIds: readonly string[]) => Promise<void>;
  readonly brand: Brand;
  /** PostgreSQL's clock, Unix milliseconds. */
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  /** Uniform in [0, 1), for the jitter of retries. */
  readonly random: () => number;
  /** For tests by faults only. */
  readonly reach?: ReachFailpoint;
}

/** How the handling of one hinted delivery ended. */
export type DeliverOutcome =
  /** Not due, leased by another worker, final, its endpoint may not send, or its bytes are erased: the hint is dropped. */
  | { readonly kind: 'dropped' }
  /** Given back unsent, uncharged: we are stopping, or too little of the lease is left. */
  | { readonly kind: 'released' }
  /** Sent, and still unanswered when we had to stop: recorded as unknown, uncharged. */
  | { readonly kind: 'abandoned' }
  | { readonly kind: 'attempted'; readonly outcome: Outcome; readonly durationMs: number }
  /** Our own trouble: the database away, no file descriptors left. Its lease ends, or was given back, uncharged. */
  | { readonly kind: 'broken'; readonly error: unknown };

/** A hint whose deliveries are being handled. */
export interface Begun {
  /** Never rejects once it is there. */
  readonly ended: Promise<readonly DeliverOutcome[]>;
}

interface Abandoned {
  readonly kind: 'abandoned';
}

/** A request that is under way. */
interface Unanswered {
  readonly claim: Claimed;
  /** Ends the wait for its answer. */
  readonly abandon: () => void;
}

/** One delivery from a hint to its place in the log. */
export class Deliverer {
  private isStopping = false;
  private readonly unanswered = new Set<Unanswered>();
  private readonly work = new Set<Promise<unknown>>();

  constructor(private readonly parts: DelivererParts) {}

  /**
   * Resolves as soon as there is a slot for each delivery of the hint, and so with the right moment to take the next hint;
   * `ended` does once each is settled, given back or dropped.
   */
  begin(lane: Lane, deliveryIds: readonly string[]): Promise<Begun> {
    const begun = this.whenThereAreSlots(lane, deliveryIds);
    // What fails here, whoever asked hears of.
    const all = begun
      .then(
        ({ ended }) => ended,
        () => undefined,
      )
      .finally(() => this.work.delete(all));
    this.work.add(all);
    return begun;
  }

  private async whenThereAreSlots(lane: Lane, deliveryIds: readonly string[]): Promise<Begun> {
    const slots = this.parts.inFlight.slots[lane];
    await slots.take(deliveryIds.length);
    if (this.isStopping) {
      slots.give(deliveryIds.length);
      // Their marks would keep the other workers from them for seconds.
      await this.parts.unhint(deliveryIds);
      return { ended: Promise.resolve(deliveryIds.map(() => ({ kind: 'dropped' }))) };
    }
    return { ended: Promise.all(deliveryIds.map((deliveryId) => this.deliverOrBreak(lane, deliveryId))) };
  }

  private async deliverOrBreak(lane: Lane, deliveryId: string): Promise<DeliverOutcome> {
    try {
      return await this.deliver(lane, deliveryId);
    } catch (error) {
      return { kind: 'broken', error };
    }
  }

  /**
   * Claims nothing more, gives back what is unsent, and gives what is sent up to `graceMs` to be answered and
   * settled; the rest becomes `unknown`. Nothing of it is charged to a receiver.
   */
  async stop(graceMs: number): Promise<void> {
    this.isStopping = true;
    for (const slots of Object.values(this.parts.inFlight.slots)) slots.openUp();
    const timer = setTimeout(() => this.abandonUnanswered(), graceMs);
    await Promise.allSettled(this.work);
    clearTimeout(timer);
  }

  private async deliver(lane: Lane, deliveryId: string): Promise<DeliverOutcome> {
    const claim = await this.claim(lane, deliveryId);
    if (claim === null) return { kind: 'dropped' };
    try {
      const sent = await this.sendClaimed(claim);
      if (sent.kind !== 'sent') return sent;

      this.parts.reach?.('after-response');
      const { target, attempt } = sent;
      await this.parts.settler.settle({ claim, attempt, step: this.nextStep(claim, target, attempt) });
      return { kind: 'attempted', outcome: attempt.outcome, durationMs: attempt.durationMs };
    } finally {
      this.parts.inFlight.end(claim.inHand);
    }
  }

  /** Null, and the slot free again, when there is nothing to do for this delivery now. */
  private async claim(lane: Lane, deliveryId: string): Promise<HeldClaim | null> {
    let claim: HeldClaim | null = null;
    try {
      claim = await this.parts.claimers[lane].claim(deliveryId);
    } finally {
      if (claim === null) this.parts.inFlight.slots[lane].give(1);
    }
    return claim;
  }

  /** What has to be so before a request begins is looked at here; what is not so gives the claim back. */
  private async sendClaimed(
    claim: HeldClaim,
  ): Promise<
    { readonly kind: 'sent'; readonly target: Target; readonly attempt: AttemptRecord } | DeliverOutcome
  > {
    try {
      const target = await this.parts.targets.of(claim);
      if (!hasData(claim)) return await this.discard(claim);
      if (target === null || !this.mayStillSend(claim)) return await this.release(claim);
      this.parts.reach?.('before-send');
      const startedAtMs = this.parts.nowMs();
      const request = signRequest(claim, target, this.parts.brand, Math.floor(startedAtMs / 1_000));
      this.parts.inFlight.sent(claim.inHand);
      const result = await this.send(claim, target, request);
      this.parts.inFlight.answered(claim.inHand);
      if (result.kind === 'abandoned') return result;
      return { kind: 'sent', target, attempt: attemptRecord(result, target, request, startedAtMs) };
    } catch (error) {
      // The sender returns whatever a receiver did; what it throws is ours, and nothing has left.
      await this.release(claim);
      throw error;
    }
  }

  /** A request begins only while its whole deadline still ends well within the lease. */
  private mayStillSend(claim: HeldClaim): boolean {
    if (this.isStopping) return false;
    return this.parts.monotonicMs() - claim.claimStartedMs <= SEND_DELAY_MS_MAX;
  }

  private async release(claim: Claimed): Promise<DeliverOutcome> {
    await this.parts.releaser.release(claim);
    return { kind: 'released' };
  }

  private async discard(claim: Claimed): Promise<DeliverOutcome> {
    await this.parts.releaser.discard(claim);
    return { kind: 'dropped' };
  }

  private async send(
    claim: Claimed,
    target: Target,
    request: SignedRequest,
  ): Promise<SendResult | Abandoned> {
    // A promise of its own: raced against one that lives as long as the worker, every answer would stay on that one's list.
    const { promise: abandoned, resolve: abandon } = Promise.withResolvers<Abandoned>();
    const unanswered: Unanswered = { claim, abandon: () => abandon({ kind: 'abandoned' }) };
    this.unanswered.add(unanswered);
    try {
      const sent = this.parts.sender.send({
        merchantId: claim.merchantId,
        url: target.url,
        clientCertificate: target.clientCertificate,
        headers: request.headers,
        body: request.body,
        deadlineMs: this.parts.monotonicMs() + target.timeoutMs,
      });
      return await Promise.race([sent, abandoned]);
    } finally {
      this.unanswered.delete(unanswered);
    }
  }

  private nextStep(claim: Claimed, target: Target, attempt: AttemptRecord): SettlementStep {
    const step = decideNextStep({
      outcome: attempt.outcome,
      statusCode: attempt.statusCode,
      failuresAfter: claim.failures + 1,
      scheduleSeconds: scheduleOf(claim, target),
      retryAfterMs: retryAfterMs(attempt, this.parts.nowMs()),
      random: this.parts.random,
      single: claim.single,
    });
    return step.kind === 'failed' ? { kind: 'failed', isGone: step.reason === 'gone' } : step;
  }

  private abandonUnanswered(): void {
    const given = [...this.unanswered];
    const recorded = this.parts.releaser.abandon(given.map(({ claim }) => claim));
    this.work.add(recorded);
    void recorded.finally(() => {
      for (const { abandon } of given) abandon();
    });
  }
}

function hasData(claim: HeldClaim): claim is HeldClaim & { event: { data: Uint8Array } } {
  return claim.event.data !== null;
}

/** The endpoint's own waits, else those of the event's type, else the dialect's. */
function scheduleOf(claim: Claimed, target: Target): readonly number[] {
  return (target.hasOwnSchedule ? null : claim.typeScheduleSeconds) ?? target.retryScheduleSeconds;
}

/** What a request came to, as the log keeps it. */
export function attemptRecord(
  result: SendResult,
  target: Target,
  request: SignedRequest,
  startedAtMs: number,
): AttemptRecord {
  const common = {
    startedAtMs,
    durationMs: Math.round(result.durationMs),
    requestUrl: target.url,
    requestHeaders: request.loggedHeaders,
    remoteAddress: result.remoteAddress,
  };
  if (result.kind !== 'response') {
    return {
      ...common,
      outcome: result.kind,
      statusCode: null,
      errorCode: result.errorCode,
      errorMessage: result.message,
      responseHeaders: null,
      responseBody: null,
      responseBodyTruncated: false,
    };
  }
  const judgement = judgeAnswer(result, target.acknowledgement);
  const isMismatch = judgement.outcome === 'invalid_response';
  return {
    ...common,
    outcome: judgement.outcome,
    statusCode: result.statusCode,
    errorCode: isMismatch ? judgement.errorCode : null,
    errorMessage: isMismatch ? judgement.message : null,
    responseHeaders: result.headers,
    responseBody: result.body,
    responseBodyTruncated: result.bodyTruncated,
  };
}

function retryAfterMs(attempt: AttemptRecord, nowMs: number): number | null {
  const value = attempt.responseHeaders?.find(([name]) => name === 'retry-after')?.[1];
  return value === undefined ? null : parseRetryAfter(value, nowMs);
}

/** The part of a lease's grace that may pass before a request begins; the rest is for settling it. */
const SEND_DELAY_MS_MAX = LEASE_GRACE_MS - 1_500;
