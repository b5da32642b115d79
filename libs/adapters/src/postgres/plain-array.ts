/**
 * A list as PostgreSQL writes arrays, for elements that need no quotes: uuids, numbers, booleans, and words of our own. Of
 * these the driver would still escape and quote each by itself, which for a batch costs as much as running it.
 *
 * Not for texts from outside: a comma, a brace, a quote or an empty one would come out as something else.
 */
export function plainArray(values: readonly (string | number | boolean | null)[]): string {
  return `{${values.map((value) => value ?? 'NULL').join(',')}}`;
}
