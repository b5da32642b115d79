import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { eventually } from '../eventually.js';

/** One answer to one try, or none: status 0. */
export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly tookMs: number;
  /** When the try began. */
  readonly atUnixMs: number;
}

export interface SentEvent {
  readonly id: string;
  readonly merchantId: string;
  readonly type: string;
  /** The bytes of `data` as they were sent. */
  readonly data: string;
}

/** An event that got its 202. */
export interface AcceptedEvent extends SentEvent {
  /** What the 202 said. */
  readonly deliveries: number;
  readonly acceptedAtUnixMs: number;
}

export interface EventLoadOptions {
  /** Base URLs of the APIs that are there now; asked before each try. */
  readonly apiUrls: () => readonly string[];
  readonly key: string;
  readonly merchantIds: readonly string[];
  /** Begins the ids of its events, so that two loads share none. */
  readonly prefix: string;
  readonly perSecond: number;
}

/**
 * A producer as it should be: makes events at a steady rate, however long the answers take, and posts each under its
 * own id again and again until it gets a 202.
 */
export class EventLoad {
  /** By event id. */
  readonly accepted = new Map<string, AcceptedEvent>();
  /** Every answer of every try, in the order in which they ended. */
  readonly answers: Answer[] = [];
  /** Ids that a try was made for. */
  readonly tried = new Set<string>();
  private readonly agent = new Agent({ pipelining: 0 });
  private readonly work = new Set<Promise<void>>();
  private readonly abandon = new AbortController();
  private readonly givenUp: string[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly options: EventLoadOptions) {}

  start(): void {
    this.timer = setInterval(() => this.add(), 1_000 / this.options.perSecond);
  }

  /** So many more events at once. */
  burst(count: number): void {
    for (let n = 0; n < count; n++) this.add();
  }

  /** Resolves once so many events have been accepted. */
  async untilAccepted(count: number, timeoutMs = 30_000): Promise<void> {
    await eventually(() => {
      if (this.accepted.size < count)
        throw new Error(`${this.accepted.size} of ${count} events were accepted`);
    }, timeoutMs);
  }

  /**
   * Makes no more events, and resolves once every one has its 202.
   *
   * @throws Error when one did not get it within {@link GIVE_UP_MS} of its first try
   */
  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    while (this.work.size > 0) await Promise.all(this.work);
    await this.agent.close();
    if (this.givenUp.length > 0) {
      const last = this.answers.slice(-5).map(({ status }) => status);
      throw new Error(
        `${this.givenUp.length} events got no 202: ${this.givenUp[0]}…, last answers ${String(last)}`,
      );
    }
  }

  /** Ends whatever is under way, for a test that has failed. */
  async abort(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.abandon.abort();
    await Promise.all(this.work);
    await this.agent.destroy();
  }

  /**
   * Posts batches one after another, for a backlog that is there in no time. Unlike single events they are not tried
   * again.
   *
   * @throws Error when one is not answered with 202
   */
  async postBatches(batches: number, size: number): Promise<void> {
    for (let batch = 0; batch < batches; batch++) {
      const events = Array.from({ length: size }, () => this.nextEvent());
      const [url] = this.options.apiUrls();
      const answer = await request(`${String(url)}/v1/events/batch`, {
        dispatcher: this.agent,
        method: 'POST',
        headers: { authorization: `Bearer ${this.options.key}`, 'content-type': 'application/json' },
        body: `{"events":[${events.map(bodyOf).join()}]}`,
      });
      const body = (await answer.body.json()) as { data: { deliveries: number }[] };
      if (answer.statusCode !== 202) throw new Error(`a batch was answered ${answer.statusCode}`);
      for (const [index, event] of events.entries()) {
        const { deliveries } = body.data[index] as { deliveries: number };
        this.accepted.set(event.id, { ...event, deliveries, acceptedAtUnixMs: Date.now() });
      }
    }
  }

  private nextEvent(): SentEvent {
    const number = this.tried.size;
    const { merchantIds, prefix } = this.options;
    const id = `${prefix}-${number}`;
    this.tried.add(id);
    const merchantId = merchantIds[number % merchantIds.length] as string;
    return { id, merchantId, type: 'payment.success', data: dataOf(number) };
  }

  private add(): void {
    const number = this.tried.size;
    const event = this.nextEvent();
    const work = this.post(event, number).finally(() => this.work.delete(work));
    this.work.add(work);
  }

  private async post(event: SentEvent, number: number): Promise<void> {
    const giveUpAtMs = performance.now() + GIVE_UP_MS;
    for (let attempt = 0; !this.abandon.signal.aborted; attempt++) {
      const urls = this.options.apiUrls();
      const url = urls[(number + attempt) % urls.length];
      const deliveries = url === undefined ? null : await this.try(url, event);
      if (deliveries !== null) {
        this.accepted.set(event.id, { ...event, deliveries, acceptedAtUnixMs: Date.now() });
        return;
      }
      if (performance.now() > giveUpAtMs) {
        this.givenUp.push(event.id);
        return;
      }
      await delay(RETRY_MS, undefined, { signal: this.abandon.signal }).catch(() => undefined);
    }
  }

  /** @returns the number of deliveries of a 202; null: no 202 */
  private async try(url: string, event: SentEvent): Promise<number | null> {
    const startedMs = performance.now();
    const atUnixMs = Date.now();
    const ended = (status: number, retryAfter: string | null): void => {
      this.answers.push({ status, retryAfter, tookMs: performance.now() - startedMs, atUnixMs });
    };
    try {
      const answer = await request(`${url}/v1/events`, {
        dispatcher: this.agent,
        method: 'POST',
        headers: { authorization: `Bearer ${this.options.key}`, 'content-type': 'application/json' },
        body: bodyOf(event),
        signal: AbortSignal.any([this.abandon.signal, AbortSignal.timeout(TRY_TIMEOUT_MS)]),
      });
      const text = await answer.body.text();
      ended(answer.statusCode, textOf(answer.headers['retry-after']));
      return answer.statusCode === 202 ? (JSON.parse(text) as { deliveries: number }).deliveries : null;
    } catch {
      ended(0, null);
      return null;
    }
  }
}

/** By hand, so that the bytes of data stay what they are. */
function bodyOf({ id, merchantId, type, data }: SentEvent): string {
  return `{"merchant_id":"${merchantId}","type":"${type}","id":"${id}","data":${data}}`;
}

/** What no parser hands on as it got it: digits past 2^53, trailing zeroes, a repeated key, a lone surrogate's escape. */
function dataOf(number: number): string {
  return `{"n":${number},"amount":"50.00","rate":1.10,"exact":90071992547409931${number},"text":"é \\ud800","n":${number}}`;
}

function textOf(header: string | string[] | undefined): string | null {
  return typeof header === 'string' ? header : null;
}

/** Longer than any answer may take, so that one that hangs is seen and the load goes on. */
const TRY_TIMEOUT_MS = 30_000;
const RETRY_MS = 200;
/** Longer than any fault here lasts. */
const GIVE_UP_MS = 120_000;
