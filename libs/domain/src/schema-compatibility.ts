import { jsonPointerTo } from './json-pointer.js';
import {
  ANNOTATIONS,
  type JsonSchema,
  resolveRef,
  type SchemaObject,
  type SchemaProblem,
  subschemasOf,
} from './json-schema.js';

/** More than anybody reads; a definition that is used everywhere breaks everywhere. */
const PROBLEMS_MAX = 100;
/** Of a value of an enum, in a message. */
const VALUE_LENGTH_SHOWN = 60;

/**
 * Why data that the one schema allows may be refused by the next, with JSON Pointers into the next; empty when that cannot
 * be. What cannot be compared and differs counts as breaking. A member that is new and optional does not, although the old
 * schema may have let anything stand under its name. Annotations, `format` among them, are not looked at.
 *
 * Both schemas must be free of {@link schemaProblems}.
 */
export function breakingChanges(before: JsonSchema, after: JsonSchema): SchemaProblem[] {
  return new Comparison().compare(withoutRefs(before), withoutRefs(after));
}

type Schemas = Readonly<Record<string, JsonSchema>>;
type Rule = (before: SchemaObject, after: SchemaObject, comparison: Comparison) => readonly SchemaProblem[];

class Comparison {
  private readonly numbers = new Map<string, number>();
  private readonly numbered = new WeakMap<object, number>();
  private readonly compared = new Map<string, SchemaProblem[]>();

  /** Problems of one pair of schemas, wherever in the documents they stand. */
  compare(before: JsonSchema, after: JsonSchema): SchemaProblem[] {
    const key = `${this.numberOf(before)} ${this.numberOf(after)}`;
    let problems = this.compared.get(key);
    if (problems === undefined) {
      problems = this.differences(before, after).slice(0, PROBLEMS_MAX);
      this.compared.set(key, problems);
    }
    return problems;
  }

  /** As {@link compare}, with the pointers beginning at `pointer`. */
  compareAt(pointer: string, before: JsonSchema, after: JsonSchema): SchemaProblem[] {
    return this.compare(before, after).map((problem) => ({ ...problem, pointer: pointer + problem.pointer }));
  }

  isSame(a: unknown, b: unknown): boolean {
    return this.numberOf(a) === this.numberOf(b);
  }

  private differences(before: JsonSchema, after: JsonSchema): SchemaProblem[] {
    if (after === true || before === false || this.isSame(before, after)) return [];
    if (after === false) return [{ pointer: '', message: 'is no longer allowed' }];
    const known = before === true ? {} : before;
    return RULES.flatMap((rule) => rule(known, after, this));
  }

  /** The same number for values that are the same JSON, whatever the order of members. */
  private numberOf(value: unknown): number {
    if (value === undefined) return this.intern('absent');
    if (typeof value !== 'object' || value === null) return this.intern(JSON.stringify(value));
    const known = this.numbered.get(value);
    if (known !== undefined) return known;
    const text = Array.isArray(value)
      ? `[${value.map((item) => this.numberOf(item)).join()}]`
      : `{${Object.entries(value)
          .map(([key, member]) => `${JSON.stringify(key)}:${this.numberOf(member)}`)
          .sort()
          .join()}}`;
    const number = this.intern(text);
    this.numbered.set(value, number);
    return number;
  }

  private intern(text: string): number {
    const number = this.numbers.get(text) ?? this.numbers.size;
    this.numbers.set(text, number);
    return number;
  }
}

/** The schema with each `$ref` replaced by what it names, shared and not copied, and without annotations. */
function withoutRefs(root: JsonSchema): JsonSchema {
  const byPointer = new Map(subschemasOf(root).map(({ schema, pointer }) => [pointer, schema]));
  const done = new Map<string, JsonSchema>();
  const expand = (schema: JsonSchema, pointer: string): JsonSchema => {
    if (typeof schema === 'boolean') return schema;
    const known = done.get(pointer);
    if (known !== undefined) return known;
    const expanded: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const [keyword, value] of Object.entries(schema)) {
      if (ANNOTATIONS.includes(keyword) || keyword.startsWith('$') || keyword === 'definitions') continue;
      expanded[keyword] = expandHeld(value, jsonPointerTo(pointer, keyword));
    }
    const named = resolveRef(schema['$ref'], byPointer);
    let result: JsonSchema = expanded;
    if (named !== null) {
      const target = expand(named.schema, named.pointer);
      const allOf = (expanded['allOf'] ?? []) as readonly JsonSchema[];
      result = Object.keys(expanded).length === 0 ? target : { ...expanded, allOf: [...allOf, target] };
    }
    done.set(pointer, result);
    return result;
  };
  const expandHeld = (value: unknown, pointer: string): unknown => {
    const schema = byPointer.get(pointer);
    if (schema !== undefined) return expand(schema, pointer);
    if (Array.isArray(value))
      return value.map((item: unknown, index) => expandInner(item, jsonPointerTo(pointer, index)));
    if (typeof value !== 'object' || value === null) return value;
    // Own and without a prototype, so that a member `__proto__` is one like any other.
    const members: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const [name, member] of Object.entries(value))
      members[name] = expandInner(member, jsonPointerTo(pointer, name));
    return members;
  };
  const expandInner = (value: unknown, pointer: string): unknown => {
    const schema = byPointer.get(pointer);
    return schema === undefined ? value : expand(schema, pointer);
  };
  return expand(root, '');
}

const RULES: readonly Rule[] = [
  typeRule,
  valuesRule,
  requiredRule,
  (before, after) => [...upperBoundRule(before, after), ...lowerBoundRule(before, after)],
  limitsRule,
  sameOrGoneRule,
  propertiesRule,
  patternPropertiesRule,
  itemsRule,
  eachOfRule,
  anyOfRule,
  oneOfRule,
];

const TYPES: readonly string[] = ['array', 'boolean', 'integer', 'null', 'number', 'object', 'string'];

function typeRule(before: SchemaObject, after: SchemaObject): SchemaProblem[] {
  const allowed = list(after['type']);
  if (allowed === null) return [];
  const isAllowed = (type: unknown): boolean =>
    allowed.includes(type) || (type === 'integer' && allowed.includes('number'));
  const refused = (typesOf(before) ?? TYPES).filter((type) => !isAllowed(type));
  if (refused.length === 0) return [];
  return [{ pointer: '/type', message: `no longer allows ${refused.join(', ')}` }];
}

/** The types that a schema lets through; null: any, for all that can be told. */
function typesOf(schema: JsonSchema): readonly string[] | null {
  if (typeof schema === 'boolean') return schema ? null : [];
  const named = list(schema['type']) ?? valuesOf(schema)?.map(typeOfValue);
  if (named !== undefined) return named as readonly string[];
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = schemas(schema[keyword])?.map(typesOf);
    if (branches?.every((types) => types !== null)) return branches.flat();
  }
  for (const branch of schemas(schema['allOf']) ?? []) {
    const types = typesOf(branch);
    if (types !== null) return types;
  }
  return null;
}

function typeOfValue(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function valuesRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const allowed = valuesOf(after);
  if (allowed === null) return [];
  const pointer = 'const' in after ? '/const' : '/enum';
  const earlier = valuesOf(before);
  if (earlier === null) return [{ pointer, message: 'allows only certain values, which it did not before' }];
  return earlier
    .filter((value) => !allowed.some((other) => comparison.isSame(value, other)))
    .map((value) => ({
      pointer,
      message: `no longer allows ${JSON.stringify(value).slice(0, VALUE_LENGTH_SHOWN)}`,
    }));
}

function valuesOf(schema: SchemaObject): readonly unknown[] | null {
  if ('const' in schema) return [schema['const']];
  return 'enum' in schema ? (schema['enum'] as readonly unknown[]) : null;
}

function requiredRule(before: SchemaObject, after: SchemaObject): SchemaProblem[] {
  const problems = newNames(before['required'], after['required']).map((name) => ({
    pointer: '/required',
    message: `requires ${name}, which was optional`,
  }));
  const dependent = Object.entries((after['dependentRequired'] ?? {}) as Record<string, unknown>);
  const earlier = (before['dependentRequired'] ?? {}) as Record<string, unknown>;
  for (const [name, needed] of dependent) {
    for (const member of newNames(earlier[name], needed)) {
      const pointer = jsonPointerTo('/dependentRequired', name);
      problems.push({ pointer, message: `requires ${member}, which was optional` });
    }
  }
  return problems;
}

function newNames(before: unknown, after: unknown): string[] {
  const earlier = (before ?? []) as readonly string[];
  return ((after ?? []) as readonly string[]).filter((name) => !earlier.includes(name));
}

interface Bound {
  readonly keyword: string;
  readonly value: number;
  readonly isExclusive: boolean;
}

function upperBoundRule(before: SchemaObject, after: SchemaObject): SchemaProblem[] {
  return boundProblems(
    boundsOf(before, ['maximum', 'exclusiveMaximum'], 1),
    boundsOf(after, ['maximum', 'exclusiveMaximum'], 1),
  );
}

function lowerBoundRule(before: SchemaObject, after: SchemaObject): SchemaProblem[] {
  return boundProblems(
    boundsOf(before, ['minimum', 'exclusiveMinimum'], -1),
    boundsOf(after, ['minimum', 'exclusiveMinimum'], -1),
  );
}

/** @param sign -1 turns lower bounds into upper ones of the negated value */
function boundsOf(
  schema: SchemaObject,
  [inclusive, exclusive]: readonly [string, string],
  sign: number,
): Bound[] {
  return [inclusive, exclusive].flatMap((keyword) => {
    const value = schema[keyword];
    return typeof value === 'number'
      ? [{ keyword, value: sign * value, isExclusive: keyword === exclusive }]
      : [];
  });
}

function boundProblems(before: readonly Bound[], after: readonly Bound[]): SchemaProblem[] {
  const isWithin = (earlier: Bound, bound: Bound): boolean =>
    earlier.value < bound.value ||
    (earlier.value === bound.value && (earlier.isExclusive || !bound.isExclusive));
  return after
    .filter((bound) => !before.some((earlier) => isWithin(earlier, bound)))
    .map(({ keyword }) => ({ pointer: `/${keyword}`, message: NARROWER }));
}

function limitsRule(before: SchemaObject, after: SchemaObject): SchemaProblem[] {
  const isNarrower = (keyword: string): boolean => {
    const value = after[keyword] as number;
    const earlier = (before[keyword] ?? (keyword.startsWith('min') ? 0 : Infinity)) as number;
    return keyword.startsWith('min') ? value > earlier : value < earlier;
  };
  const limits = ['maxLength', 'minLength', 'maxItems', 'minItems', 'maxProperties', 'minProperties'];
  const problems = limits
    .filter((keyword) => keyword in after && isNarrower(keyword))
    .map((keyword) => ({ pointer: `/${keyword}`, message: NARROWER }));
  const step = after['multipleOf'];
  const isMultiple =
    typeof step === 'number' && Number.isInteger(((before['multipleOf'] ?? Number.NaN) as number) / step);
  if (step !== undefined && !isMultiple) problems.push({ pointer: '/multipleOf', message: NARROWER });
  if (after['uniqueItems'] === true && before['uniqueItems'] !== true)
    problems.push({ pointer: '/uniqueItems', message: NARROWER });
  return problems;
}

const NARROWER = 'is narrower than before';

/** Keywords that are compared as a whole, with those that change what they mean. */
const WHOLE: readonly (readonly [string, ...string[]])[] = [
  ['pattern'],
  ['not'],
  ['if', 'then', 'else'],
  ['contains', 'minContains', 'maxContains'],
];
/** What decides which members or elements count as evaluated. */
const EVALUATING: readonly string[] = ['allOf', 'anyOf', 'oneOf', 'if', 'then', 'else', 'dependentSchemas'];

function sameOrGoneRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const differs = (keywords: readonly string[]): boolean =>
    keywords.some((keyword) => !comparison.isSame(before[keyword], after[keyword]));
  const problems = WHOLE.filter(
    ([keyword, ...others]) => keyword in after && differs([keyword, ...others]),
  ).map(([keyword]) => ({ pointer: `/${keyword}`, message: UNCOMPARABLE }));
  for (const keyword of ['unevaluatedProperties', 'unevaluatedItems']) {
    if (keyword in after && after[keyword] !== true && differs(EVALUATING))
      problems.push({ pointer: `/${keyword}`, message: UNCOMPARABLE });
  }
  return problems;
}

const UNCOMPARABLE = 'differs, and may refuse what was allowed before';

function propertiesRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const earlier = (before['properties'] ?? {}) as Schemas;
  const properties = (after['properties'] ?? {}) as Schemas;
  const others = restOf(after, 'additionalProperties', 'unevaluatedProperties');
  const othersBefore = restOf(before, 'additionalProperties', 'unevaluatedProperties');
  const names = new Set([...Object.keys(earlier), ...Object.keys(properties)]);
  const problems = [...names].flatMap((name) => {
    const was = own(earlier, name) ?? othersBefore;
    const is = own(properties, name) ?? others;
    // Open until now: an optional member that gets a meaning is what catalogues grow by.
    if (own(earlier, name) === undefined && was === true) return [];
    return comparison.compareAt(jsonPointerTo('/properties', name), was, is);
  });
  for (const keyword of ['additionalProperties', 'unevaluatedProperties', 'propertyNames']) {
    if (!(keyword in after)) continue;
    const was = keyword === 'propertyNames' ? (before[keyword] ?? true) : othersBefore;
    problems.push(...comparison.compareAt(`/${keyword}`, was as JsonSchema, after[keyword] as JsonSchema));
  }
  return problems;
}

/** What holds for members or elements that are not named one by one. */
function restOf(schema: SchemaObject, ...keywords: readonly string[]): JsonSchema {
  for (const keyword of keywords) if (keyword in schema) return schema[keyword] as JsonSchema;
  return true;
}

function patternPropertiesRule(
  before: SchemaObject,
  after: SchemaObject,
  comparison: Comparison,
): SchemaProblem[] {
  const earlier = (before['patternProperties'] ?? {}) as Schemas;
  const patterns = (after['patternProperties'] ?? {}) as Schemas;
  const others = restOf(after, 'additionalProperties', 'unevaluatedProperties');
  const names = new Set([...Object.keys(earlier), ...Object.keys(patterns)]);
  return [...names].flatMap((pattern) =>
    comparison.compareAt(
      jsonPointerTo('/patternProperties', pattern),
      own(earlier, pattern) ?? true,
      own(patterns, pattern) ?? others,
    ),
  );
}

function itemsRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const earlier = schemas(before['prefixItems']) ?? [];
  const prefix = schemas(after['prefixItems']) ?? [];
  const rest = restOf(after, 'items', 'unevaluatedItems');
  const restBefore = restOf(before, 'items', 'unevaluatedItems');
  const problems = Array.from({ length: Math.max(earlier.length, prefix.length) }, (_, index) =>
    comparison.compareAt(
      index < prefix.length ? jsonPointerTo('/prefixItems', index) : '/items',
      earlier[index] ?? restBefore,
      prefix[index] ?? rest,
    ),
  ).flat();
  const keyword = 'items' in after ? 'items' : 'unevaluatedItems';
  return [...problems, ...comparison.compareAt(`/${keyword}`, restBefore, rest)];
}

/** Every branch has to let through what the whole did before. */
function eachOfRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const earlier = [before, ...(schemas(before['allOf']) ?? [])];
  const problems = (schemas(after['allOf']) ?? []).flatMap((branch, index) =>
    earlier.some((schema) => comparison.compare(schema, branch).length === 0)
      ? []
      : comparison.compareAt(jsonPointerTo('/allOf', index), before, branch),
  );
  const dependentBefore = (before['dependentSchemas'] ?? {}) as Schemas;
  for (const [name, schema] of Object.entries((after['dependentSchemas'] ?? {}) as Schemas)) {
    const pointer = jsonPointerTo('/dependentSchemas', name);
    problems.push(...comparison.compareAt(pointer, own(dependentBefore, name) ?? true, schema));
  }
  return problems;
}

/** Every branch of before, or before as a whole, has to fit into one branch. */
function anyOfRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const branches = schemas(after['anyOf']);
  if (branches === null) return [];
  const fits = (schema: JsonSchema): boolean =>
    branches.some((branch) => comparison.compare(schema, branch).length === 0);
  const earlier = schemas(before['anyOf']) ?? schemas(before['oneOf']);
  if (fits(before) || earlier?.every(fits)) return [];
  return [{ pointer: '/anyOf', message: UNCOMPARABLE }];
}

/** A branch more may make two of them match what one did. */
function oneOfRule(before: SchemaObject, after: SchemaObject, comparison: Comparison): SchemaProblem[] {
  const branches = schemas(after['oneOf']);
  if (branches === null) return [];
  const earlier = schemas(before['oneOf']) ?? [];
  const isSameSet =
    earlier.length === branches.length &&
    earlier.every((schema) => branches.some((branch) => comparison.isSame(schema, branch)));
  return isSameSet ? [] : [{ pointer: '/oneOf', message: UNCOMPARABLE }];
}

function schemas(value: unknown): readonly JsonSchema[] | null {
  return value === undefined ? null : (value as readonly JsonSchema[]);
}

function list(value: unknown): readonly unknown[] | null {
  return value === undefined ? null : [value].flat();
}

function own(members: Schemas, name: string): JsonSchema | undefined {
  return Object.hasOwn(members, name) ? members[name] : undefined;
}
