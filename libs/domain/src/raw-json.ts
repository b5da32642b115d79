import { isUtf8 } from 'node:buffer';

import { JsonSyntaxError, scanJson, skipString, skipValue, skipWhitespace } from './json-scanner.js';

export { JsonSyntaxError };

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';

/** Where a value stands in the bytes of its document, without the white space around it. */
export interface JsonSpan {
  readonly kind: JsonKind;
  readonly start: number;
  /** One past the last byte. */
  readonly end: number;
  /** How deep containers nest within the value: 0 for a scalar, 1 for `{}`, 2 for `{"a":[]}`. */
  readonly depth: number;
}

export interface JsonMember {
  /** The name after unescaping. */
  readonly key: string;
  readonly value: JsonSpan;
}

const COMMA = 0x2c;

/**
 * The one parse of a body: validates all of RFC 8259 on the bytes, in a single pass that does not recurse, and
 * keeps them. Everything that is later read from the document is found in those same bytes, so that no second
 * parser can see anything else in them.
 * @throws JsonSyntaxError for whatever is not exactly one JSON text in UTF-8; a byte-order mark included
 */
export function parseRawJson(bytes: Uint8Array): JsonDocument {
  if (!isUtf8(bytes)) throw new JsonSyntaxError('invalid UTF-8', firstInvalidUtf8(bytes));
  const { start, end, depth } = scanJson(bytes);
  return new JsonDocument(bytes, { kind: kindAt(bytes, start), start, end, depth });
}

/** A valid JSON text. Its values are spans; what lies within them is looked at when it is asked for. */
export class JsonDocument {
  readonly bytes: Uint8Array;
  readonly root: JsonSpan;
  readonly #text: Buffer;

  /** Only {@link parseRawJson} makes documents: every method relies on the bytes being valid. */
  constructor(bytes: Uint8Array, root: JsonSpan) {
    this.bytes = bytes;
    this.root = root;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * The members of an object in their order, repeated keys included.
   * @throws TypeError when the span is not an object's
   */
  members(span: JsonSpan): readonly JsonMember[] {
    if (span.kind !== 'object') throw new TypeError(`a span of kind ${span.kind} has no members`);
    const members: JsonMember[] = [];
    const last = span.end - 1;
    let at = skipWhitespace(this.bytes, span.start + 1);
    while (at < last) {
      const keyEnd = skipString(this.bytes, at);
      const key = this.#string(at, keyEnd);
      const colon = skipWhitespace(this.bytes, keyEnd);
      const value = this.#span(skipWhitespace(this.bytes, colon + 1));
      members.push({ key, value });
      at = this.#nextItem(value.end);
    }
    return members;
  }

  /**
   * The elements of an array.
   * @throws TypeError when the span is not an array's
   */
  elements(span: JsonSpan): readonly JsonSpan[] {
    if (span.kind !== 'array') throw new TypeError(`a span of kind ${span.kind} has no elements`);
    const elements: JsonSpan[] = [];
    const last = span.end - 1;
    let at = skipWhitespace(this.bytes, span.start + 1);
    while (at < last) {
      const element = this.#span(at);
      elements.push(element);
      at = this.#nextItem(element.end);
    }
    return elements;
  }

  /** The value's bytes: a view of the document's own, not a copy. */
  bytesOf(span: JsonSpan): Uint8Array {
    return this.bytes.subarray(span.start, span.end);
  }

  /**
   * The value as `JSON.parse` reads it: a member `__proto__` becomes a property of the object itself, the last of
   * repeated keys wins, numbers lose what a double cannot hold.
   */
  valueOf(span: JsonSpan): unknown {
    return JSON.parse(this.#text.toString('utf8', span.start, span.end));
  }

  /**
   * The first key that an object has twice, after unescaping; null when there is none.
   * @throws TypeError when the span is not an object's
   */
  repeatedKey(span: JsonSpan): string | null {
    const seen = new Set<string>();
    for (const { key } of this.members(span)) {
      if (seen.has(key)) return key;
      seen.add(key);
    }
    return null;
  }

  #span(start: number): JsonSpan {
    const { end, depth } = skipValue(this.bytes, start);
    return { kind: kindAt(this.bytes, start), start, end, depth };
  }

  /** From the end of one item to the start of the next, or to the closing bracket. */
  #nextItem(end: number): number {
    const at = skipWhitespace(this.bytes, end);
    return this.bytes[at] === COMMA ? skipWhitespace(this.bytes, at + 1) : at;
  }

  #string(start: number, end: number): string {
    const text = this.#text.toString('utf8', start, end);
    return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);
  }
}

/** By the first byte of a valid value. */
function kindAt(bytes: Uint8Array, start: number): JsonKind {
  switch (bytes[start] as number) {
    case 0x7b: // {
      return 'object';
    case 0x5b: // [
      return 'array';
    case 0x22: // "
      return 'string';
    case 0x74: // t
    case 0x66: // f
      return 'boolean';
    case 0x6e: // n
      return 'null';
    default:
      return 'number';
  }
}

/** A lossy decode leaves valid bytes as they are, so the first difference is where the text stops being UTF-8. */
function firstInvalidUtf8(bytes: Uint8Array): number {
  const repaired = Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
  let at = 0;
  while (at < bytes.length && bytes[at] === repaired[at]) at += 1;
  return at;
}
