import type { Dispatcher } from 'undici';
import type { Deadline } from './deadline.js';

/** What the log keeps of a body (api.md's 16 KiB); nothing that decides an attempt's outcome needs more. */
const RESPONSE_BODY_BYTES_MAX = 16_384;

const EMPTY = new Uint8Array(0);

export interface ReceivedResponse {
  readonly statusCode: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
  readonly bodyTruncated: boolean;
}

export interface ExchangeListener {
  /** Right before the first byte is written. */
  onSent(): void;
  /** `connectionSpent`: bytes of this answer are still to come, so nothing else may be read from it. */
  onResponse(response: ReceivedResponse, connectionSpent: boolean): void;
  onFailure(error: unknown): void;
}

/**
 * Collects one response. Follows no redirect and decompresses nothing: a status is a status, bytes are bytes.
 *
 * A body that goes on past the cap is read no further: the response counts as whole there, judged by its status,
 * and the connection is destroyed. Draining it to keep the connection would let a receiver choose how much traffic
 * one event costs.
 *
 * undici's dispatch interface rather than `request`, because only it tells when the first byte is about to leave
 * and when the first byte came back, and because it makes no stream for a body of a few bytes.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #listener: ExchangeListener;
  readonly #deadline: Deadline;
  /** Whether any byte of an answer came, be it of a 1xx. */
  answered = false;
  #statusCode = 0;
  #headers: ReceivedResponse['headers'] = [];
  #body: Uint8Array = EMPTY;
  #bodyBytes = 0;
  #over = false;

  constructor(deadline: Deadline, listener: ExchangeListener) {
    this.#deadline = deadline;
    this.#listener = listener;
  }

  onRequestStart(): void {
    this.#deadline.waitingFor = 'the response';
    this.#listener.onSent();
  }

  onResponseStarted(): void {
    this.answered = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number): void {
    if (statusCode < 200) return;
    this.#deadline.waitingFor = 'the end of the response body';
    this.#statusCode = statusCode;
    this.#headers = readHeaders(controller.rawHeaders);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    const roomBytes = RESPONSE_BODY_BYTES_MAX - this.#bodyBytes;
    if (roomBytes > 0) this.#keep(chunk.subarray(0, roomBytes));
    if (chunk.length > roomBytes) this.#finish(true);
  }

  onResponseEnd(): void {
    if (!this.#over) this.#finish(false);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.onFailure(error);
  }

  /**
   * Copies, because a chunk is a view that would keep the socket's whole read buffer alive; and into one array, because a
   * list of chunks of one byte would be a hundred times their size.
   */
  #keep(chunk: Uint8Array): void {
    const neededBytes = this.#bodyBytes + chunk.length;
    if (neededBytes > this.#body.length) {
      const grown = new Uint8Array(
        Math.min(Math.max(neededBytes, 2 * this.#body.length), RESPONSE_BODY_BYTES_MAX),
      );
      grown.set(this.#body.subarray(0, this.#bodyBytes));
      this.#body = grown;
    }
    this.#body.set(chunk, this.#bodyBytes);
    this.#bodyBytes = neededBytes;
  }

  #finish(bodyTruncated: boolean): void {
    this.#over = true;
    const body = this.#body.subarray(0, this.#bodyBytes);
    const response = { statusCode: this.#statusCode, headers: this.#headers, body, bodyTruncated };
    this.#listener.onResponse(response, bodyTruncated);
  }
}

/** Flat name-value pairs of bytes; Latin-1 shows every byte that a header can hold as one character. */
function readHeaders(raw: Dispatcher.DispatchController['rawHeaders']): ReceivedResponse['headers'] {
  const headers: [name: string, value: string][] = [];
  if (!Array.isArray(raw)) return headers;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    headers.push([latin1(raw[index]).toLowerCase(), latin1(raw[index + 1])]);
  }
  return headers;
}

function latin1(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '');
}
