import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Tells people and secret scanners what they have found. */
const API_KEY_PREFIX = 'phk_';
/** Enough that nobody ever guesses one of many (2^160 of them), whatever hash it is stored under. */
const RANDOM_BYTES = 20;
/** Crockford's base32: no letter looks like a digit. 160 bits fill 32 characters exactly, a CRC-32 takes 7. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const RANDOM_CHARACTERS = 32;
const CHECKSUM_CHARACTERS = 7;
const GENERATED = /^phk_[0-9a-hjkmnp-tv-z]{39}$/;
/** An operator's own platform key has any form within these bounds; blanks at its ends would not survive a header. */
const PLAUSIBLE = /^[\x21-\x7e][\x20-\x7e]{22,254}[\x21-\x7e]$/;
/** The prefix and six characters: tells keys apart in a list, and leaves 130 bits unknown. */
const SHOWN_CHARACTERS = 10;

/**
 * A new API key: `phk_`, 160 random bits and a checksum, so that a mistyped key is refused without asking the database
 * and a scanner knows a real one.
 * @param randomBytes a cryptographic source
 */
export function generateApiKey(randomBytes: (n: number) => Uint8Array): string {
  const random = base32(
    BigInt(`0x${Buffer.from(randomBytes(RANDOM_BYTES)).toString('hex')}`),
    RANDOM_CHARACTERS,
  );
  return API_KEY_PREFIX + random + checksum(random);
}

/**
 * Whether a text may be a key at all. False is certain: a text of the generated shape whose checksum is wrong, or one
 * that is not 24 to 256 printable ASCII characters.
 */
export function isPlausibleApiKey(text: string): boolean {
  if (!GENERATED.test(text)) return PLAUSIBLE.test(text);
  const random = text.slice(API_KEY_PREFIX.length, -CHECKSUM_CHARACTERS);
  return text.endsWith(checksum(random));
}

/** What is stored of a key. Plain SHA-256 is enough for 160 random bits; it must be fast, every request pays it. */
export function hashApiKey(text: string): Uint8Array<ArrayBuffer> {
  return createHash('sha256').update(text, 'utf8').digest();
}

/** The characters of a key that lists show. */
export function shownPrefix(text: string): string {
  return text.slice(0, SHOWN_CHARACTERS);
}

function checksum(random: string): string {
  return base32(BigInt(crc32(random)), CHECKSUM_CHARACTERS);
}

function base32(value: bigint, characters: number): string {
  let text = '';
  for (let rest = value, left = characters; left > 0; rest >>= 5n, left--) {
    text = ALPHABET.charAt(Number(rest & 31n)) + text;
  }
  return text;
}
