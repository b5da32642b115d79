import { formatSeconds } from './timestamps.js';

/** The shapes in which an event's data can reach a receiver. */
export const PAYLOAD_FORMATS = ['envelope', 'event-data', 'event-object', 'flat', 'raw'] as const;
export type PayloadFormat = (typeof PAYLOAD_FORMATS)[number];

export interface PayloadEvent {
  /** The event's id as receivers see it: the producer's own, or the one that was made. */
  readonly publicId: string;
  readonly type: string;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  /** The producer's own `created_at`, an RFC 3339 text that is kept as it came; null when none was given. */
  readonly createdAtText: string | null;
  /** The bytes of a JSON object, from its brace to its brace. */
  readonly data: Uint8Array;
}

/** Members that the format itself writes at the level where data's members, or the object's key, would stand. */
const FLAT_MEMBERS: readonly string[] = ['type', 'timestamp'];
const EVENT_OBJECT_MEMBERS: readonly string[] = ['event', 'timestamp'];

/**
 * True when the format cannot carry this event, because a member would stand there twice.
 * @param dataKeys the names of data's top-level members after unescaping; asked for only where they matter
 */
export function payloadConflict(
  format: PayloadFormat,
  type: string,
  dataKeys: () => readonly string[],
): boolean {
  switch (format) {
    case 'flat':
      return dataKeys().some((key) => FLAT_MEMBERS.includes(key));
    case 'event-object':
      return EVENT_OBJECT_MEMBERS.includes(firstSegment(type));
    case 'envelope':
    case 'event-data':
    case 'raw':
      return false;
    default:
      return unknownFormat(format);
  }
}

/**
 * The body that a receiver gets. Data's bytes are copied, never printed anew. The caller has made sure that the
 * format can carry the event ({@link payloadConflict}).
 */
export function buildPayload(format: PayloadFormat, event: PayloadEvent): Buffer {
  const { data } = event;
  switch (format) {
    case 'envelope':
      return wrap(
        `{"id":${quote(event.publicId)},"type":${quote(event.type)},"created_at":${quote(timeText(event))},"data":`,
        data,
      );
    case 'event-data':
      return wrap(`{"event":${quote(event.type)},"data":`, data);
    case 'event-object': {
      const unixSeconds = Math.floor(event.createdAtMs / 1_000);
      const key = quote(firstSegment(event.type));
      return wrap(`{"event":${quote(event.type)},"timestamp":${unixSeconds},${key}:`, data);
    }
    case 'flat': {
      const start = `{"type":${quote(event.type)},"timestamp":${quote(timeText(event))}`;
      const members = data.subarray(1, -1);
      return members.every(isWhitespace) ? Buffer.from(`${start}}`) : wrap(`${start},`, members);
    }
    case 'raw':
      return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    default:
      return unknownFormat(format);
  }
}

/** Every format that adds anything opens one object before the data and closes it after. */
function wrap(before: string, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(before), bytes, Buffer.from('}')]);
}

function timeText(event: PayloadEvent): string {
  return event.createdAtText ?? formatSeconds(event.createdAtMs);
}

function firstSegment(type: string): string {
  const dot = type.indexOf('.');
  return dot < 0 ? type : type.slice(0, dot);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** Space, tab, line feed and carriage return: all the white space that JSON knows. */
function isWhitespace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function unknownFormat(format: never): never {
  throw new Error(`no such payload format: ${String(format)}`);
}
