import { parseJsonPointer } from './json-pointer.js';
import { canonicalText, type ScalarReader } from './json-scalar.js';

/**
 * What an endpoint asks of an event's data: one scalar there, by JSON Pointer (RFC 6901), is this one, or one of these.
 * Scalars are JSON texts, so that a number stays the number that was given.
 */
export type FilterCondition =
  | { readonly pointer: string; readonly equals: string }
  | { readonly pointer: string; readonly in: readonly string[] };

/** Whether an event's data is wanted. */
export type PayloadFilter = (data: ScalarReader) => boolean;

/**
 * All conditions must hold. What a pointer does not find, or finds to be an object or an array, holds for none, and
 * `null` is only ever an explicit null.
 * @throws {RangeError} for a pointer that is none, {@link JsonSyntaxError} for a scalar that is no JSON
 */
export function payloadFilter(conditions: readonly FilterCondition[]): PayloadFilter {
  const compiled = conditions.map((condition) => {
    const tokens = parseJsonPointer(condition.pointer);
    if (tokens === null) throw new RangeError(`not a JSON Pointer: ${JSON.stringify(condition.pointer)}`);
    const texts = 'in' in condition ? condition.in : [condition.equals];
    return { tokens, wanted: new Set(texts.map(canonicalText)) };
  });
  return (data) =>
    compiled.every(({ tokens, wanted }) => {
      const found = data.at(tokens);
      return found !== null && wanted.has(found);
    });
}
