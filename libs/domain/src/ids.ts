import { fromString, toUUIDBytes } from 'typeid-js';

/** The kinds of things that have an id, and the prefix that each carries on the wire. */
export const ID_PREFIXES = {
  merchant: 'mrc',
  endpoint: 'wh',
  event: 'evt',
  delivery: 'dlv',
  attempt: 'att',
  apiKey: 'key',
  recovery: 'rec',
  request: 'req',
  auditEntry: 'aud',
} as const;

export type IdPrefix = (typeof ID_PREFIXES)[keyof typeof ID_PREFIXES];

/** 26 characters of lower-case Crockford base32; the first carries three bits only, so more than `7` overflows. */
const SUFFIX = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/**
 * The TypeID (TypeID specification 0.3) of a UUID in canonical form. Every request and every answer has some, so it is
 * encoded twenty bits at a time here: the library goes by bytes and single letters, at more than twice the cost.
 */
export function formatId(prefix: IdPrefix, uuid: string): string {
  const hex = uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24);
  let suffix = twoLetters(Number.parseInt(hex.slice(0, 2), 16));
  for (let at = 2; at < hex.length; at += 5) {
    const twentyBits = Number.parseInt(hex.slice(at, at + 5), 16);
    suffix += twoLetters(twentyBits >> 10) + twoLetters(twentyBits & 0x3ff);
  }
  return `${prefix}_${suffix}`;
}

const LETTERS = '0123456789abcdefghjkmnpqrstvwxyz';
const LETTER_PAIRS = Array.from({ length: 1_024 }, (_, bits) => `${LETTERS[bits >> 5]}${LETTERS[bits & 31]}`);

function twoLetters(tenBits: number): string {
  return LETTER_PAIRS[tenBits] as string;
}

/**
 * The UUID, in canonical lower-case hyphen form, of a TypeID; null for whatever is not exactly such an id:
 * another prefix, upper case, a wrong length, a suffix past 128 bits. Any UUID version passes, because an
 * unknown id and an impossible one get the same answer.
 */
export function parseId(prefix: IdPrefix, text: string): string | null {
  if (!text.startsWith(`${prefix}_`) || !SUFFIX.test(text.slice(prefix.length + 1))) return null;
  // Not toUUID, which throws on bytes whose version or variant no RFC knows.
  const hex = Buffer.from(toUUIDBytes(fromString(text, prefix))).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Unix milliseconds that a UUIDv7 carries in its first 48 bits (RFC 9562, section 5.7). */
export function uuidTimeMs(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
}

/**
 * The lowest key of a millisecond, for `id BETWEEN floor AND ceil`: its 48 bits, then zeros. A bound, not an id:
 * version and variant are left out so that it is below every UUIDv7 of that millisecond.
 * @throws RangeError when `ms` does not fit in 48 bits
 */
export function uuidFloor(ms: number): string {
  return `${timePart(ms)}-0000-0000-000000000000`;
}

/**
 * The highest key of a millisecond: its 48 bits, then ones.
 * @throws RangeError when `ms` does not fit in 48 bits
 */
export function uuidCeil(ms: number): string {
  return `${timePart(ms)}-ffff-ffff-ffffffffffff`;
}

const TIME_MS_MAX = 2 ** 48 - 1;

function timePart(ms: number): string {
  const whole = Math.floor(ms);
  if (!(whole >= 0 && whole <= TIME_MS_MAX)) throw new RangeError(`${ms} ms does not fit in a UUIDv7`);
  const hex = whole.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

/** The counter fills rand_a (12 bits) and the first 30 bits of rand_b: the most that RFC 9562, 6.2 allows. */
const COUNTER_LOW = 2 ** 30;
/** A counter starts at random in the lower half, so that no millisecond can use up the upper one. */
const COUNTER_START_BITS = 41;
/** Milliseconds whose counters are remembered: a second of the busiest traffic in a few dozen kilobytes. */
const COUNTERS_MAX = 1_024;
/** One call of the random source serves about a thousand ids; a call each would cost more than the id itself. */
const POOL_BYTES = 4_096;
/** Steps back up to here are the clock's ordinary corrections and are waited out; more is a clock that was wrong. */
const CLOCK_STEP_BACK_MAX_MS = 10_000;

/**
 * Makes UUIDv7 keys (RFC 9562, 5.7) by the dedicated counter of section 6.2: 48 bits of time, a 42-bit counter
 * of that millisecond, 32 random bits. Keys of one maker and millisecond ascend in the order in which they were
 * made. Counters start at random with each millisecond, so ids do not tell how many others were made.
 *
 * The order within a millisecond holds while that millisecond is among the last {@link COUNTERS_MAX} in use; an
 * older one starts a new counter, which is still unique by its 73 random bits.
 */
export class IdMaker {
  readonly #nowMs: () => number;
  readonly #randomBytes: (n: number) => Uint8Array;
  readonly #counters = new Map<number, number>();
  #pool: DataView = new DataView(new ArrayBuffer(0));
  #poolAt = 0;
  #lastMs = 0;

  /**
   * @param nowMs Unix time in milliseconds; fractions are dropped
   * @param randomBytes a cryptographic source, asked for a pool of bytes at a time
   */
  constructor(nowMs: () => number, randomBytes: (n: number) => Uint8Array) {
    this.#nowMs = nowMs;
    this.#randomBytes = randomBytes;
  }

  /** A key of now: of {@link millisecond}. */
  uuid(): string {
    return this.uuidAt(this.millisecond());
  }

  /** Now, in whole milliseconds. When the clock steps back a little, the last one goes on, so that keys still ascend. */
  millisecond(): number {
    const nowMs = Math.floor(this.#nowMs());
    const isSmallStepBack = nowMs < this.#lastMs && this.#lastMs - nowMs <= CLOCK_STEP_BACK_MAX_MS;
    if (!isSmallStepBack) this.#lastMs = nowMs;
    return this.#lastMs;
  }

  /**
   * A key of a given millisecond, above every one that this maker made for it before.
   * @throws RangeError when `ms` does not fit in 48 bits
   */
  uuidAt(ms: number): string {
    const time = timePart(ms);
    const counter = this.#nextCounter(Math.floor(ms));
    const high = Math.floor(counter / COUNTER_LOW);
    const low = counter % COUNTER_LOW;
    // The variant is binary 10, the rest of the 32-bit word is the counter's.
    const variantAndLow = (0x80000000 + low).toString(16);
    return (
      `${time}-7${high.toString(16).padStart(3, '0')}-${variantAndLow.slice(0, 4)}-` +
      variantAndLow.slice(4) +
      this.#random32().toString(16).padStart(8, '0')
    );
  }

  #nextCounter(ms: number): number {
    const last = this.#counters.get(ms);
    if (last !== undefined) {
      this.#counters.set(ms, last + 1);
      return last + 1;
    }
    if (this.#counters.size >= COUNTERS_MAX) {
      const oldest = this.#counters.keys().next();
      if (!oldest.done) this.#counters.delete(oldest.value);
    }
    const start = (this.#random32() % 2 ** (COUNTER_START_BITS - 32)) * 2 ** 32 + this.#random32();
    this.#counters.set(ms, start);
    return start;
  }

  #random32(): number {
    if (this.#poolAt + 4 > this.#pool.byteLength) {
      const bytes = this.#randomBytes(POOL_BYTES);
      this.#pool = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#poolAt = 0;
    }
    const value = this.#pool.getUint32(this.#poolAt);
    this.#poolAt += 4;
    return value;
  }
}
