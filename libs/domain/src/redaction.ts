import { jsonPointerTokens } from './json-pointer.js';
import { type JsonDocument, type JsonSpan, parseRawJson } from './raw-json.js';

/** What stands where a value was. */
export const REDACTED_JSON = '"[redacted]"';

/** More than this is a type that should be sent as a reference instead. */
export const REDACT_POINTERS_MAX = 50;

interface Place {
  /** Everything that stands here goes. */
  isMasked: boolean;
  readonly children: Map<string, Place>;
}

/**
 * The same JSON text with every value that a pointer names replaced by {@link REDACTED_JSON}, and every other byte as it
 * was. Of a key that an object has several times, all values are replaced. A pointer that names nothing does nothing.
 *
 * @param bytes one JSON text
 * @param pointers JSON Pointers (RFC 6901) to values within it
 * @throws JsonSyntaxError when the bytes are not one JSON text
 */
export function maskJson(bytes: Uint8Array, pointers: readonly string[]): Uint8Array {
  if (pointers.length === 0) return bytes;
  const document = parseRawJson(bytes);
  const masked: JsonSpan[] = [];
  collect(document, document.root, placesOf(pointers), masked);
  if (masked.length === 0) return bytes;

  const mask = Buffer.from(REDACTED_JSON);
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { start, end } of masked) {
    parts.push(bytes.subarray(at, start), mask);
    at = end;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

function placesOf(pointers: readonly string[]): Place {
  const root: Place = { isMasked: false, children: new Map() };
  for (const pointer of pointers) {
    let place = root;
    for (const token of jsonPointerTokens(pointer)) {
      let child = place.children.get(token);
      if (child === undefined) {
        child = { isMasked: false, children: new Map() };
        place.children.set(token, child);
      }
      place = child;
    }
    place.isMasked = true;
  }
  return root;
}

/** In the order in which they stand; goes no deeper than the pointers do. */
function collect(document: JsonDocument, span: JsonSpan, place: Place, masked: JsonSpan[]): void {
  if (place.isMasked) {
    masked.push(span);
    return;
  }
  if (place.children.size === 0) return;
  for (const [token, value] of valuesWithin(document, span)) {
    const child = place.children.get(token);
    if (child !== undefined) collect(document, value, child, masked);
  }
}

function valuesWithin(document: JsonDocument, span: JsonSpan): readonly (readonly [string, JsonSpan])[] {
  switch (span.kind) {
    case 'object':
      return document.members(span).map(({ key, value }) => [key, value] as const);
    case 'array':
      return document.elements(span).map((value, index) => [String(index), value] as const);
    case 'string':
    case 'number':
    case 'boolean':
    case 'null':
      return [];
  }
}
