import * as z from 'zod';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import { OPERATOR_ID } from '#domain/operator.js';
import { parseRfc3339, TIMESTAMP_LENGTH_MAX } from '#domain/timestamps.js';

/** A line that people read: a name, a title. */
export const NAME_LENGTH_MAX = 200;
/** The producer's own name for a thing: room for a URL or a few joined ids, short enough for an index. */
export const EXTERNAL_ID_LENGTH_MAX = 255;
/** Metadata as Stripe's users know it: 50 pairs, names of 40 and values of 500 characters. */
const METADATA_PAIRS_MAX = 50;
const METADATA_NAME_LENGTH_MAX = 40;
const METADATA_VALUE_LENGTH_MAX = 500;

/**
 * A text field. Lengths are in characters (code points), as JSON Schema counts them. NUL has no place in PostgreSQL's
 * text, and a lone surrogate has no UTF-8 form: both are refused rather than stored as something else.
 */
export function text(bounds: { readonly lengthMin?: number; readonly lengthMax: number }): z.ZodString {
  const { lengthMin = 0, lengthMax } = bounds;
  return z
    .string()
    .superRefine((value, context) => {
      const problem = textProblem(value, lengthMin, lengthMax);
      if (problem !== null) context.addIssue({ code: 'custom', message: problem });
    })
    .meta(lengthMin > 0 ? { minLength: lengthMin, maxLength: lengthMax } : { maxLength: lengthMax });
}

function textProblem(value: string, lengthMin: number, lengthMax: number): string | null {
  if (value.includes('\0')) return 'must not contain NUL';
  if (!value.isWellFormed()) return 'must be well-formed Unicode';
  // A code point is one or two units, so most values need no counting.
  const length =
    value.length <= lengthMax && value.length >= 2 * lengthMin ? value.length : Array.from(value).length;
  if (length > lengthMax) return `must have at most ${lengthMax} characters`;
  if (length < lengthMin)
    return lengthMin === 1 ? 'must not be empty' : `must have at least ${lengthMin} characters`;
  return null;
}

/** An RFC 3339 time, read as Unix milliseconds. */
export const timestamp = z
  .string()
  .max(TIMESTAMP_LENGTH_MAX)
  .refine((value) => parseRfc3339(value) !== null, {
    error: 'must be an RFC 3339 time with a zone, such as 2026-04-02T05:01:20Z',
    abort: true,
  })
  .meta({ format: 'date-time' });

/** The same as Unix milliseconds. */
export const moment = timestamp.transform((value) => parseRfc3339(value) ?? Number.NaN);

/** A timestamp in an answer. */
export const instant = z.iso.datetime({ precision: 3 }).meta({
  description: 'RFC 3339, UTC, milliseconds',
  examples: ['2026-04-02T05:01:20.000Z'],
  pattern: undefined,
});

/** A TypeID in an answer. */
export function idOf(prefix: string): z.ZodString {
  return z.string().meta({
    pattern: `^${prefix}_[0-7][0-9a-hjkmnp-tv-z]{25}$`,
    examples: [`${prefix}_01h455vb4pex5vsknk084sn02q`],
  });
}

/** Whose something is, in an answer. */
export const owner = idOf(ID_PREFIXES.merchant).nullable().meta({ description: "null: the operator's own." });

export function viewOwner(merchantId: string): string | null {
  return merchantId === OPERATOR_ID ? null : formatId(ID_PREFIXES.merchant, merchantId);
}

/** The merchant's own pairs of strings. `__proto__` is refused by name, because it would be lost on the way. */
export const metadata = z
  .custom<Readonly<Record<string, string>>>(isPlainObject, 'must be an object of strings')
  .superRefine((pairs, context) => {
    const names = Object.keys(pairs);
    if (names.length > METADATA_PAIRS_MAX) {
      context.addIssue({ code: 'custom', message: `must have at most ${METADATA_PAIRS_MAX} members` });
      return;
    }
    for (const name of names) {
      const problem = metadataProblem(name, pairs[name]);
      if (problem !== null) context.addIssue({ code: 'custom', path: [name], message: problem });
    }
  })
  .meta({
    type: 'object',
    description: 'Your own pairs of strings.',
    maxProperties: METADATA_PAIRS_MAX,
    propertyNames: { type: 'string', minLength: 1, maxLength: METADATA_NAME_LENGTH_MAX },
    additionalProperties: { type: 'string', maxLength: METADATA_VALUE_LENGTH_MAX },
  });

function metadataProblem(name: string, value: unknown): string | null {
  if (name === '__proto__') return 'is not a name for a member';
  const nameProblem = textProblem(name, 1, METADATA_NAME_LENGTH_MAX);
  if (nameProblem !== null) return `the name ${nameProblem}`;
  if (typeof value !== 'string') return 'must be a string';
  return textProblem(value, 0, METADATA_VALUE_LENGTH_MAX);
}

function isPlainObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The body of a call that takes none: `{}` or nothing. */
export const emptyBody = z.strictObject({}).meta({ id: 'NoFields' });
