import { DemoError } from './demo-error.js';

/** The calls of the demo are small; a server that takes longer for one is not well. */
const CALL_TIMEOUT_MS = 10_000;

export interface Webhook {
  readonly id: string;
  readonly secret: string;
  readonly signatures: readonly { readonly scheme: string; readonly header?: string }[];
}

export interface Delivery {
  readonly id: string;
  readonly webhook_id: string;
  readonly event_type: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly last_attempt: {
    readonly outcome: string;
    readonly status_code: number | null;
    readonly duration_ms: number;
  } | null;
}

interface ErrorAnswer {
  readonly code: string;
  readonly message: string;
  readonly data: { readonly errors?: readonly { readonly path: string; readonly message: string }[] } | null;
}

/** The calls that the demo makes, with a platform key. Each throws a {@link DemoError} that says what went wrong. */
export class PosthornApi {
  constructor(
    readonly url: string,
    private readonly key: string,
  ) {}

  /** Whether it is there and takes the key. */
  async check(signal: AbortSignal): Promise<void> {
    const health = await this.#send('GET', '/healthz', signal);
    if (!health.ok)
      throw new DemoError(`What answers on ${this.url} is no Posthorn: GET /healthz is ${health.status}.`);
    await this.#call('GET', '/v1/merchants?limit=1', signal);
  }

  createMerchant(
    fields: { name: string; dialect: string },
    signal: AbortSignal,
  ): Promise<{ readonly id: string }> {
    return this.#call('POST', '/v1/merchants', signal, JSON.stringify(fields));
  }

  createWebhook(fields: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Webhook> {
    return this.#call('POST', '/v1/webhooks', signal, JSON.stringify(fields));
  }

  /** @param body JSON text, so that no parser comes between the data and the receiver */
  sendEvent(body: string, signal: AbortSignal): Promise<{ readonly deliveries: number }> {
    return this.#call('POST', '/v1/events', signal, body);
  }

  /** The newest 200, newest first. */
  async deliveries(merchantId: string, signal: AbortSignal): Promise<readonly Delivery[]> {
    const path = `/v1/deliveries?merchant_id=${merchantId}&limit=200`;
    return (await this.#call<{ readonly data: readonly Delivery[] }>('GET', path, signal)).data;
  }

  async deleteWebhook(id: string): Promise<void> {
    await this.#call('DELETE', `/v1/webhooks/${id}`, new AbortController().signal);
  }

  async deleteMerchant(id: string): Promise<void> {
    await this.#call('DELETE', `/v1/merchants/${id}`, new AbortController().signal);
  }

  async #call<Answer>(method: string, path: string, signal: AbortSignal, body?: string): Promise<Answer> {
    const response = await this.#send(method, path, signal, body);
    const text = await response.text();
    if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as Answer;
    throw new DemoError(this.#refusal(`${method} ${path}`, response.status, text));
  }

  async #send(method: string, path: string, signal: AbortSignal, body?: string): Promise<Response> {
    const headers = {
      authorization: `Bearer ${this.key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
    try {
      return await fetch(new URL(path, this.url), {
        method,
        headers,
        body: body ?? null,
        signal: AbortSignal.any([signal, timeout]),
      });
    } catch (cause) {
      if (signal.aborted) throw cause;
      const reason = timeout.aborted ? `no answer within ${CALL_TIMEOUT_MS / 1000} s` : networkReason(cause);
      throw new DemoError(
        `No Posthorn on ${this.url} (${reason}): start one with \`npm start\`, or set POSTHORN_URL.`,
        { cause },
      );
    }
  }

  #refusal(call: string, status: number, text: string): string {
    const error = parseError(text);
    switch (error?.code) {
      case 'unauthenticated':
      case 'forbidden':
        return (
          `The platform key is refused by ${this.url}: set POSTHORN_PLATFORM_KEY to its key, ` +
          'or POSTHORN_DATA_DIR to its data directory.'
        );
      case 'url_not_allowed':
        return (
          `${this.url} does not send to http://127.0.0.1, where the demo receives: start it with ` +
          'POSTHORN_ALLOW_HTTP=true and POSTHORN_EGRESS_ALLOW=127.0.0.0/8 (`npm start` assumes both).'
        );
      case undefined:
        return `${call} was answered ${status}, not as Posthorn does.`;
      default: {
        const errors = error?.data?.errors?.map(({ path, message }) => `${path} ${message}`) ?? [];
        return `${call} was answered ${status} ${[error?.message, ...errors].join('; ')}`;
      }
    }
  }
}

function parseError(text: string): ErrorAnswer | undefined {
  try {
    return JSON.parse(text) as ErrorAnswer;
  } catch {
    return undefined;
  }
}

function networkReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return String(error);
  return 'code' in cause ? String(cause.code) : cause.message;
}
