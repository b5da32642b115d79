import { Agent, request } from 'undici';

export interface ApiAnswer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Body;
  /** The body as it came. */
  readonly text: string;
}

export interface CallOptions {
  /** Sent as they are. */
  readonly bytes?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** No connection outlives its call, so that a test that leaks one is a test that forgot something else. */
const ONE_CALL_EACH = new Agent({ pipelining: 0 });

/** Calls the API as a client would, and judges nothing. */
export class ApiClient {
  constructor(
    readonly url: string,
    readonly key: string | null,
  ) {}

  withKey(key: string | null): ApiClient {
    return new ApiClient(this.url, key);
  }

  get<Body = Record<string, unknown>>(path: string): Promise<ApiAnswer<Body>> {
    return this.call('GET', path);
  }

  post<Body = Record<string, unknown>>(
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ApiAnswer<Body>> {
    return this.call('POST', path, { ...bytesOf(body), headers });
  }

  patch<Body = Record<string, unknown>>(path: string, body: unknown): Promise<ApiAnswer<Body>> {
    return this.call('PATCH', path, bytesOf(body));
  }

  delete<Body = Record<string, unknown>>(path: string): Promise<ApiAnswer<Body>> {
    return this.call('DELETE', path);
  }

  async call<Body = Record<string, unknown>>(
    method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    path: string,
    { bytes, headers = {} }: CallOptions = {},
  ): Promise<ApiAnswer<Body>> {
    const answer = await request(`${this.url}${path}`, {
      dispatcher: ONE_CALL_EACH,
      method,
      body: bytes ?? null,
      headers: {
        ...(this.key !== null && { authorization: `Bearer ${this.key}` }),
        ...(bytes !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, headers: answer.headers, body: parse(text) as Body, text };
  }

  /** @returns its id */
  async newMerchant(fields: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const answer = await this.post('/v1/merchants', { name: 'a merchant', ...fields });
    return idOf(answer);
  }

  /** @returns its id and secret */
  async newWebhook(
    merchantId: string,
    url: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): Promise<{ readonly id: string; readonly secret: string }> {
    const answer = await this.post('/v1/webhooks', {
      merchant_id: merchantId,
      url,
      events: ['*'],
      ...fields,
    });
    return { id: idOf(answer), secret: String(answer.body['secret']) };
  }

  async sendEvent(
    merchantId: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): Promise<{ readonly id: string; readonly deliveries: number }> {
    const answer = await this.post('/v1/events', {
      merchant_id: merchantId,
      type: 'payment.success',
      data: { amount: '50.00' },
      ...fields,
    });
    if (answer.status !== 202) throw new Error(`the event was answered ${answer.status} ${answer.text}`);
    return { id: String(answer.body['id']), deliveries: Number(answer.body['deliveries']) };
  }
}

function bytesOf(body: unknown): CallOptions {
  return body === undefined ? {} : { bytes: JSON.stringify(body) };
}

function idOf(answer: ApiAnswer): string {
  if (answer.status !== 201) throw new Error(`answered ${answer.status} ${answer.text}`);
  return String(answer.body['id']);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
