import type { AttemptRecord, DeliveryRecord } from '#adapters/postgres/delivery-log.js';
import type { EventRecord } from '#adapters/postgres/event-log.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { buildPayload } from '#domain/payload-format.js';
import { eventJson, publicIdOf } from '../events/event-view.js';
import { utf8, withLastMember } from '../http/json-text.js';
import { type AttemptView, viewDelivery } from './delivery.schema.js';

/**
 * A delivery with its attempts and its event, as JSON text: the event's data goes into it byte for byte, and not
 * through a parser and a printer, which would change numbers, repeated keys and escapes.
 */
export function deliveryDetailJson(
  delivery: DeliveryRecord,
  attempts: readonly AttemptRecord[],
  event: EventRecord | null,
): string {
  const body = requestBody(delivery, event);
  const rest = { ...viewDelivery(delivery), attempts: attempts.map((attempt) => viewAttempt(attempt, body)) };
  return withLastMember(JSON.stringify(rest), 'event', event === null ? 'null' : eventJson(event));
}

/** What every attempt of the delivery sends; null when nothing could be sent, or can be rebuilt any more. */
function requestBody({ payloadFormat }: DeliveryRecord, event: EventRecord | null): string | null {
  const data = event?.data ?? null;
  if (event === null || data === null) return null;
  const { type, createdAt, createdAtText } = event;
  return utf8(
    buildPayload(payloadFormat, {
      publicId: publicIdOf(event),
      type,
      createdAtMs: createdAt.getTime(),
      createdAtText,
      data,
    }),
  );
}

export function viewAttempt(attempt: AttemptRecord, body: string | null): AttemptView {
  return {
    id: formatId(ID_PREFIXES.attempt, attempt.id),
    number: attempt.number,
    trigger: attempt.trigger,
    started_at: attempt.startedAt.toISOString(),
    duration_ms: attempt.durationMs,
    outcome: attempt.outcome,
    status_code: attempt.statusCode,
    error_code: attempt.errorCode,
    error_message: attempt.errorMessage,
    request: {
      method: 'POST',
      url: attempt.requestUrl,
      headers: headersObject(attempt.requestHeaders),
      body,
    },
    response: viewResponse(attempt),
    remote_address: attempt.remoteAddress,
  };
}

function viewResponse(attempt: AttemptRecord): AttemptView['response'] {
  if (attempt.responseHeaders === null) return null;
  const isTruncated = attempt.responseBodyTruncated ?? false;
  const bytes = attempt.responseBody;
  const text = bytes === null ? '' : decodeUtf8(bytes, isTruncated);
  return {
    headers: headersObject(attempt.responseHeaders),
    body: bytes === null ? null : (text ?? Buffer.from(bytes).toString('base64')),
    body_encoding: text === null ? 'base64' : 'utf-8',
    body_truncated: isTruncated,
  };
}

/** As RFC 9110, 5.3 lets recipients join them; names keep the case of their first use. */
function headersObject(json: string): Record<string, string> {
  const headers = new Map<string, { readonly name: string; value: string }>();
  for (const [name, value] of JSON.parse(json) as [name: string, value: string][]) {
    const known = headers.get(name.toLowerCase());
    if (known === undefined) headers.set(name.toLowerCase(), { name, value });
    else known.value += `, ${value}`;
  }
  return Object.fromEntries([...headers.values()].map(({ name, value }) => [name, value]));
}

/** Null when it is not text in UTF-8. A cut may go through a character, which is then left out. */
function decodeUtf8(bytes: Uint8Array, isTruncated: boolean): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isTruncated });
  } catch {
    return null;
  }
}
