import { jsonPointerTo, jsonPointerTokens } from './json-pointer.js';

/** A JSON Schema of draft 2020-12. */
export type JsonSchema = boolean | SchemaObject;
export type SchemaObject = Readonly<Record<string, unknown>>;

const JSON_SCHEMA_DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Far above what describes any payload; compiling takes time in proportion, and everybody waits for it. */
const SUBSCHEMAS_MAX = 500;
/** Subschemas with each `$ref` counted as a copy of what it names: bounds what one look at a value can cost. */
const EXPANDED_SUBSCHEMAS_MAX = 2_000;
/** Uniqueness of objects compares every pair. */
const UNIQUE_ITEMS_MAX = 1_000;

/** Something that is wrong with a schema, and a JSON Pointer to where. */
export interface SchemaProblem {
  readonly pointer: string;
  readonly message: string;
}

/** Keywords by what they hold (JSON Schema Core and Validation, draft 2020-12). */
const HOLDS_SCHEMA: readonly string[] = [
  'items',
  'additionalProperties',
  'propertyNames',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'unevaluatedItems',
  'unevaluatedProperties',
  'contentSchema',
];
const HOLDS_SCHEMAS: readonly string[] = ['allOf', 'anyOf', 'oneOf', 'prefixItems'];
const HOLDS_NAMED_SCHEMAS: readonly string[] = ['properties', 'patternProperties', 'dependentSchemas'];
const HOLDS_DEFINITIONS: readonly string[] = ['$defs', 'definitions'];
const ASSERTIONS: readonly string[] = [
  'type',
  'enum',
  'const',
  'multipleOf',
  'maximum',
  'exclusiveMaximum',
  'minimum',
  'exclusiveMinimum',
  'maxLength',
  'minLength',
  'pattern',
  'maxItems',
  'minItems',
  'uniqueItems',
  'maxContains',
  'minContains',
  'maxProperties',
  'minProperties',
  'required',
  'dependentRequired',
];
/** Say nothing of which values are valid. `format` is one of them, as the draft has it by default. */
export const ANNOTATIONS: readonly string[] = [
  '$schema',
  '$id',
  '$comment',
  'title',
  'description',
  'default',
  'deprecated',
  'readOnly',
  'writeOnly',
  'examples',
  'format',
  'contentEncoding',
  'contentMediaType',
];
const KNOWN: ReadonlySet<string> = new Set([
  '$ref',
  ...HOLDS_SCHEMA,
  ...HOLDS_SCHEMAS,
  ...HOLDS_NAMED_SCHEMAS,
  ...HOLDS_DEFINITIONS,
  ...ASSERTIONS,
  ...ANNOTATIONS,
]);

interface Located {
  readonly schema: JsonSchema;
  readonly pointer: string;
}

/** A schema and all that are within it, each with the JSON Pointer to it. */
export function subschemasOf(schema: JsonSchema, pointer = ''): Located[] {
  return [
    { schema, pointer },
    ...[...applied(schema, pointer), ...definitions(schema, pointer)].flatMap((inner) =>
      subschemasOf(inner.schema, inner.pointer),
    ),
  ];
}

/**
 * What is wrong with a schema that is valid by its metaschema: keywords that nobody knows, references that lead outside or
 * in a circle, and what would cost too much.
 */
export function schemaProblems(root: JsonSchema): SchemaProblem[] {
  const all = subschemasOf(root);
  if (all.length > SUBSCHEMAS_MAX)
    return [{ pointer: '', message: `must have at most ${SUBSCHEMAS_MAX} subschemas` }];
  const byPointer = new Map(all.map(({ schema, pointer }) => [pointer, schema]));
  const problems = all.flatMap(({ schema, pointer }) => ownProblems(schema, pointer, byPointer));
  return problems.length > 0 ? problems : costProblems(root, byPointer);
}

/** The schema that a `$ref` of this document names; null when it names none of its subschemas. */
export function resolveRef(ref: unknown, byPointer: ReadonlyMap<string, JsonSchema>): Located | null {
  const pointer = refPointer(ref);
  const schema = pointer === null ? undefined : byPointer.get(pointer);
  return pointer === null || schema === undefined ? null : { schema, pointer };
}

/** RFC 6901, section 6: a pointer in a URI fragment is percent-encoded. */
function refPointer(ref: unknown): string | null {
  if (typeof ref !== 'string' || !/^#(?:\/|$)/.test(ref)) return null;
  try {
    return jsonPointerTokens(decodeURIComponent(ref.slice(1))).reduce<string>(jsonPointerTo, '');
  } catch {
    return null;
  }
}

function ownProblems(
  schema: JsonSchema,
  pointer: string,
  byPointer: ReadonlyMap<string, JsonSchema>,
): SchemaProblem[] {
  if (typeof schema === 'boolean') return [];
  const problems: SchemaProblem[] = [];
  const tell = (keyword: string, message: string): void => {
    problems.push({ pointer: jsonPointerTo(pointer, keyword), message });
  };
  for (const keyword of Object.keys(schema)) {
    if (!KNOWN.has(keyword)) tell(keyword, 'is not a keyword that can be used here');
  }
  if (pointer !== '' && '$id' in schema) tell('$id', 'can only stand at the top');
  if ('$schema' in schema && schema['$schema'] !== JSON_SCHEMA_DIALECT)
    tell('$schema', `must be ${JSON_SCHEMA_DIALECT}`);
  if ('$ref' in schema && resolveRef(schema['$ref'], byPointer) === null)
    tell('$ref', 'must be # and a JSON Pointer to a schema within this one');
  const { maxItems } = schema;
  if (schema['uniqueItems'] === true && !(typeof maxItems === 'number' && maxItems <= UNIQUE_ITEMS_MAX))
    tell('uniqueItems', `needs a maxItems of at most ${UNIQUE_ITEMS_MAX} beside it`);
  return problems;
}

function costProblems(root: JsonSchema, byPointer: ReadonlyMap<string, JsonSchema>): SchemaProblem[] {
  const costs = new Map<string, number | 'in hand'>();
  const circular: SchemaProblem[] = [];
  const costOf = ({ schema, pointer }: Located): number => {
    const known = costs.get(pointer);
    if (typeof known === 'number') return known;
    if (known === 'in hand') {
      circular.push({ pointer, message: 'must not contain itself by way of $ref' });
      return 0;
    }
    costs.set(pointer, 'in hand');
    const named = typeof schema === 'boolean' ? null : resolveRef(schema['$ref'], byPointer);
    const inner = [...applied(schema, pointer), ...(named === null ? [] : [named])];
    const cost = inner.reduce((sum, located) => sum + costOf(located), 1);
    costs.set(pointer, cost);
    return cost;
  };
  const cost = costOf({ schema: root, pointer: '' });
  if (circular.length > 0) return circular.slice(0, 1);
  if (cost <= EXPANDED_SUBSCHEMAS_MAX) return [];
  const message = `must have at most ${EXPANDED_SUBSCHEMAS_MAX} subschemas when each $ref is counted as what it names`;
  return [{ pointer: '', message }];
}

/** The schemas that apply where this one does, or to parts of the same value. */
function applied(schema: JsonSchema, pointer: string): Located[] {
  if (typeof schema === 'boolean') return [];
  return [
    ...HOLDS_SCHEMA.flatMap((keyword) =>
      keyword in schema ? [located(schema[keyword], jsonPointerTo(pointer, keyword))] : [],
    ),
    ...HOLDS_SCHEMAS.flatMap((keyword) => within(schema, pointer, keyword)),
    ...HOLDS_NAMED_SCHEMAS.flatMap((keyword) => within(schema, pointer, keyword)),
  ];
}

function definitions(schema: JsonSchema, pointer: string): Located[] {
  if (typeof schema === 'boolean') return [];
  return HOLDS_DEFINITIONS.flatMap((keyword) => within(schema, pointer, keyword));
}

function within(schema: SchemaObject, pointer: string, keyword: string): Located[] {
  const held = keyword in schema ? schema[keyword] : {};
  const at = jsonPointerTo(pointer, keyword);
  return Object.entries(held as object).map(([name, inner]) => located(inner, jsonPointerTo(at, name)));
}

function located(schema: unknown, pointer: string): Located {
  return { schema: schema as JsonSchema, pointer };
}
