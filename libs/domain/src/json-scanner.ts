/** Thrown for bytes that are not one JSON text. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';
  /** Index of the first byte that cannot stand where it stands; the length when the text ends too early. */
  readonly offset: number;

  constructor(problem: string, offset: number) {
    super(`${problem} at byte ${offset}`);
    this.offset = offset;
  }
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_E = 0x65;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const LITERALS = ['true', 'false', 'null'].map((text) => Buffer.from(text));

/** Bytes that end a run of plain characters within a string: control characters, the quote and the backslash. */
const ENDS_RUN = new Uint8Array(256);
ENDS_RUN.fill(1, 0, SPACE);
ENDS_RUN[QUOTE] = 1;
ENDS_RUN[BACKSLASH] = 1;

/** Enough for any sane document; the stack doubles for the others, up to one byte for each byte of the text. */
const STACK_BYTES_START = 64;

export interface ScannedValue {
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

/**
 * Checks that the bytes, known to be UTF-8, are one JSON text (RFC 8259), and finds where its value starts and ends
 * and how deep it nests. Does not recurse: open containers are a stack of bytes, so depth costs a byte a level.
 * @throws JsonSyntaxError
 */
export function scanJson(bytes: Uint8Array): ScannedValue {
  const start = skipWhitespace(bytes, 0);
  let stack = new Uint8Array(STACK_BYTES_START);
  let open = 0;
  let depth = 0;
  let at = start;
  for (;;) {
    const byte = bytes[at];
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (open === stack.length) stack = doubled(stack);
      stack[open] = byte;
      open += 1;
      if (open > depth) depth = open;
      const first = skipWhitespace(bytes, at + 1);
      if (bytes[first] !== closerOf(byte)) {
        at = byte === OPEN_BRACE ? checkKey(bytes, first) : first;
        continue;
      }
      at = first;
    } else {
      at = checkScalar(bytes, at);
      if (open > 0) at = skipWhitespace(bytes, at);
    }
    // A value has just ended, or its closing bracket stands here: close all that end with it.
    while (open > 0 && bytes[at] === closerOf(stack[open - 1])) {
      open -= 1;
      at += 1;
      if (open > 0) at = skipWhitespace(bytes, at);
    }
    if (open === 0) break;
    if (bytes[at] !== COMMA) throw unexpected(bytes, at);
    at = skipWhitespace(bytes, at + 1);
    if (stack[open - 1] === OPEN_BRACE) at = checkKey(bytes, at);
  }
  const textEnd = skipWhitespace(bytes, at);
  if (textEnd < bytes.length) throw unexpected(bytes, textEnd);
  return { start, end: at, depth };
}

/** Index of the next byte that is not white space. */
export function skipWhitespace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte !== SPACE && byte !== LINE_FEED && byte !== CARRIAGE_RETURN && byte !== TAB) return at;
    at += 1;
  }
}

/** One past the closing quote of the valid string that starts at `from`. */
export function skipString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  while (bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

/** End and depth of the valid value that starts at `start`. */
export function skipValue(bytes: Uint8Array, start: number): ScannedValue {
  let at = start;
  let open = 0;
  let depth = 0;
  do {
    // The value is valid, so it ends before its bytes do.
    switch (bytes[at] as number) {
      case QUOTE:
        at = skipString(bytes, at);
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        open += 1;
        if (open > depth) depth = open;
        at += 1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        open -= 1;
        at += 1;
        break;
      default:
        at = open > 0 ? at + 1 : skipPlainScalar(bytes, at);
    }
  } while (open > 0);
  return { start, end: at, depth };
}

/** One past the last byte of a valid number or literal. */
function skipPlainScalar(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (
      byte === undefined ||
      byte <= SPACE ||
      byte === COMMA ||
      byte === CLOSE_BRACE ||
      byte === CLOSE_BRACKET
    ) {
      return at;
    }
    at += 1;
  }
}

/** Checks `"key" :` and gives the index of the value that must follow. */
function checkKey(bytes: Uint8Array, from: number): number {
  if (bytes[from] !== QUOTE) throw unexpected(bytes, from);
  const colon = skipWhitespace(bytes, checkString(bytes, from));
  if (bytes[colon] !== COLON) throw unexpected(bytes, colon);
  return skipWhitespace(bytes, colon + 1);
}

function checkScalar(bytes: Uint8Array, from: number): number {
  const byte = bytes[from];
  if (byte === QUOTE) return checkString(bytes, from);
  if (byte === MINUS || isDigit(byte)) return checkNumber(bytes, from);
  return checkLiteral(bytes, from);
}

function checkString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  for (;;) {
    const byte = bytes[at];
    if (byte === undefined) throw unexpected(bytes, at);
    if (ENDS_RUN[byte] === 0) at += 1;
    else if (byte === QUOTE) return at + 1;
    else if (byte === BACKSLASH) at = checkEscape(bytes, at);
    else throw unexpected(bytes, at);
  }
}

function checkEscape(bytes: Uint8Array, backslash: number): number {
  const at = backslash + 1;
  switch (bytes[at]) {
    case QUOTE:
    case BACKSLASH:
    case SLASH:
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 1;
    case LOWER_U: {
      for (let digit = at + 1; digit <= at + 4; digit += 1) {
        if (!isHexDigit(bytes[digit])) throw unexpected(bytes, digit);
      }
      return at + 5;
    }
    case undefined:
    default:
      throw unexpected(bytes, at);
  }
}

function checkNumber(bytes: Uint8Array, from: number): number {
  let at = bytes[from] === MINUS ? from + 1 : from;
  at = bytes[at] === ZERO ? at + 1 : checkDigits(bytes, at);
  if (bytes[at] === DOT) at = checkDigits(bytes, at + 1);
  if (bytes[at] === LOWER_E || bytes[at] === UPPER_E) {
    at += 1;
    if (bytes[at] === PLUS || bytes[at] === MINUS) at += 1;
    at = checkDigits(bytes, at);
  }
  return at;
}

/** One digit or more. */
function checkDigits(bytes: Uint8Array, from: number): number {
  if (!isDigit(bytes[from])) throw unexpected(bytes, from);
  let at = from + 1;
  while (isDigit(bytes[at])) at += 1;
  return at;
}

function checkLiteral(bytes: Uint8Array, from: number): number {
  const literal = LITERALS.find((candidate) => candidate[0] === bytes[from]);
  if (!literal) throw unexpected(bytes, from);
  for (let index = 1; index < literal.length; index += 1) {
    if (bytes[from + index] !== literal[index]) throw unexpected(bytes, from + index);
  }
  return from + literal.length;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}

/** In ASCII both closing brackets stand two after their opening ones. */
function closerOf(opener: number | undefined): number {
  return (opener ?? 0) + 2;
}

function doubled(stack: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(stack.length * 2);
  larger.set(stack);
  return larger;
}

function unexpected(bytes: Uint8Array, at: number): JsonSyntaxError {
  const byte = bytes[at];
  if (byte === undefined) return new JsonSyntaxError('unexpected end', bytes.length);
  return new JsonSyntaxError(`unexpected byte 0x${byte.toString(16).padStart(2, '0')}`, at);
}
