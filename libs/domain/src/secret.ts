import { STANDARD_SECRET_PREFIX, type SignatureSpec } from './signature.js';

export const SECRET_LENGTH_MIN = 16;
export const SECRET_LENGTH_MAX = 256;

/** As long as the HMAC's own output: more adds nothing, less weakens it (RFC 2104, section 3). */
const GENERATED_KEY_BYTES = 32;
/** Fewer can be searched for; more than the hash's block would only be hashed down again. */
const KEY_BYTES_MIN = 16;
const KEY_BYTES_MAX = 64;

/** Control characters, line and paragraph separators: they get lost wherever a secret is copied to. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/u;

/** A new secret: `whsec_` and the base64 of 32 random bytes, fit for every signature scheme. */
export function generateSecret(randomBytes: (n: number) => Uint8Array): string {
  return STANDARD_SECRET_PREFIX + Buffer.from(randomBytes(GENERATED_KEY_BYTES)).toString('base64');
}

/**
 * What is wrong with a secret that a merchant gave, in words for the merchant, or null.
 *
 * It has 16 to 256 characters (code points) and is well-formed Unicode without control characters or line
 * separators; a lone surrogate has no UTF-8 form, so two parties would sign with different keys. Where
 * `standard-webhooks` signs, what follows `whsec_` must be the canonical, padded base64 of 16 to 64 bytes: some
 * verifiers refuse anything looser.
 */
export function secretProblem(secret: string, signatures: readonly SignatureSpec[]): string | null {
  const length = Array.from(secret).length;
  if (length < SECRET_LENGTH_MIN || length > SECRET_LENGTH_MAX) {
    return `must have ${SECRET_LENGTH_MIN} to ${SECRET_LENGTH_MAX} characters`;
  }
  if (!secret.isWellFormed()) return 'must be well-formed Unicode';
  if (UNPRINTABLE.test(secret)) return 'must not contain control characters or line separators';
  if (secret.startsWith(STANDARD_SECRET_PREFIX) && signatures.some((s) => s.scheme === 'standard-webhooks')) {
    return standardKeyProblem(secret.slice(STANDARD_SECRET_PREFIX.length));
  }
  return null;
}

function standardKeyProblem(base64: string): string | null {
  const key = Buffer.from(base64, 'base64');
  const isCanonical = key.toString('base64') === base64;
  if (isCanonical && key.length >= KEY_BYTES_MIN && key.length <= KEY_BYTES_MAX) return null;
  return `must be ${STANDARD_SECRET_PREFIX} followed by the base64 of ${KEY_BYTES_MIN} to ${KEY_BYTES_MAX} bytes`;
}
