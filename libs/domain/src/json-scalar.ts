import { type JsonDocument, type JsonSpan, parseRawJson } from './raw-json.js';

/** An array's index: no leading zero (RFC 6901, section 4). */
const ARRAY_INDEX = /^(?:0|[1-9]\d{0,9})$/;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** An exponent of more digits names no amount of anything; such a number equals none. */
const EXPONENT_DIGITS_MAX = 15;

/**
 * A text that two JSON scalars share exactly when they are equal. Numbers are equal by value and to the last digit,
 * however they are written: `1.1`, `1.10` and `11e-1` are, 9007199254740993 and 9007199254740992 are not. Strings are
 * equal once they are unescaped. Null for an object, an array, and a number whose exponent is out of all bounds.
 */
function canonicalScalar(document: JsonDocument, span: JsonSpan): string | null {
  switch (span.kind) {
    case 'object':
    case 'array':
      return null;
    case 'string':
      return JSON.stringify(document.valueOf(span));
    case 'number':
      return canonicalNumber(textOf(document, span));
    case 'boolean':
    case 'null':
      return textOf(document, span);
    default:
      return unknownKind(span.kind);
  }
}

/**
 * {@link canonicalScalar} of a JSON text.
 * @throws JsonSyntaxError when it is none
 */
export function canonicalText(json: string): string | null {
  const document = parseRawJson(Buffer.from(json));
  return canonicalScalar(document, document.root);
}

/**
 * Reads scalars out of a document by pointer. An object or array on the way is taken apart once, however many pointers
 * lead through it. Of repeated keys the last one counts, as `JSON.parse` has it.
 */
export class ScalarReader {
  readonly #document: JsonDocument;
  readonly #root: JsonSpan;
  readonly #opened = new Map<number, (token: string) => JsonSpan | undefined>();

  constructor(document: JsonDocument, root: JsonSpan = document.root) {
    this.#document = document;
    this.#root = root;
  }

  /** {@link canonicalScalar} of what the tokens point to; null when nothing is there. */
  at(tokens: readonly string[]): string | null {
    let span: JsonSpan | undefined = this.#root;
    for (const token of tokens) {
      span = this.#open(span)?.(token);
      if (span === undefined) return null;
    }
    return canonicalScalar(this.#document, span);
  }

  #open(span: JsonSpan): ((token: string) => JsonSpan | undefined) | undefined {
    if (span.kind !== 'object' && span.kind !== 'array') return undefined;
    let lookUp = this.#opened.get(span.start);
    if (lookUp === undefined) {
      lookUp = span.kind === 'object' ? this.#members(span) : this.#elements(span);
      this.#opened.set(span.start, lookUp);
    }
    return lookUp;
  }

  #members(span: JsonSpan): (token: string) => JsonSpan | undefined {
    const members = new Map(this.#document.members(span).map(({ key, value }) => [key, value]));
    return (token) => members.get(token);
  }

  #elements(span: JsonSpan): (token: string) => JsonSpan | undefined {
    const elements = this.#document.elements(span);
    return (token) => (ARRAY_INDEX.test(token) ? elements[Number(token)] : undefined);
  }
}

/** Sign, digits without zeros at either end, and the power of ten of the last digit; zero has no sign. */
function canonicalNumber(text: string): string | null {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? [];
  const digits = whole + fraction;
  let start = 0;
  while (digits[start] === '0') start += 1;
  if (start === digits.length) return '0';
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  if (exponent.length > EXPONENT_DIGITS_MAX) return null;
  const power = Number(exponent) - fraction.length + (digits.length - end);
  return `${sign}${digits.slice(start, end)}e${power}`;
}

function textOf(document: JsonDocument, span: JsonSpan): string {
  return Buffer.from(document.bytesOf(span)).toString('latin1');
}

function unknownKind(kind: never): never {
  throw new Error(`no such kind of JSON value: ${String(kind)}`);
}
