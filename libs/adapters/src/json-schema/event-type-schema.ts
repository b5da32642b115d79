import { type AnySchemaObject, Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { jsonPointerTo } from '#domain/json-pointer.js';
import { type JsonSchema, type SchemaProblem, schemaProblems, subschemasOf } from '#domain/json-schema.js';
import type { CheckData, DataProblem } from '#pipeline/event-types.js';

/** Long enough for any identifier; compiling takes time in proportion. */
const PATTERN_LENGTH_MAX = 1_000;
/** Instructions of a compiled pattern. Matching costs at most text times this: a tenth of a second for the largest data. */
const PATTERN_PROGRAM_MAX = 1_000;
/** Of one event; more is not read by anybody. */
const DATA_PROBLEMS_MAX = 20;
/** Up to here, data that breaks its schema is looked at a second time for everything that is wrong with it. */
const ALL_PROBLEMS_DATA_BYTES_MAX = 16 * 1024;
/** Of a path that has the client's own member names in it. */
const POINTER_LENGTH_SHOWN = 512;

/**
 * What is wrong with a JSON Schema (2020-12) that an operator gives to an event type; empty when it can be used. A pattern
 * that RE2 has no linear-time form for is named by its path.
 *
 * @param schema an object, not nested too deep: this descends into it
 */
export function eventTypeSchemaProblems(schema: Readonly<Record<string, unknown>>): readonly SchemaProblem[] {
  const ajv = newAjv(false);
  if (ajv.validateSchema(withoutName(schema)) !== true) {
    const [first] = ajv.errors ?? [];
    return [{ pointer: first?.instancePath ?? '', message: first?.message ?? 'is not a JSON Schema' }];
  }
  const problems = [...schemaProblems(schema), ...subschemasOf(schema).flatMap(patternProblems)];
  if (problems.length > 0) return problems;
  try {
    ajv.compile(withoutName(schema));
    return [];
  } catch (error) {
    return [{ pointer: '', message: `cannot be used: ${(error as Error).message}` }];
  }
}

/**
 * Makes a check of a schema that {@link eventTypeSchemaProblems} has nothing against. Data is judged as `JSON.parse` reads
 * it: the last of repeated keys counts, and numbers are doubles.
 */
export function compileEventTypeSchema(schemaBytes: Uint8Array): CheckData {
  const schema = withoutName(JSON.parse(textOf(schemaBytes)) as AnySchemaObject);
  const isValid = newAjv(false).compile(schema);
  let findAll: ValidateFunction | null = null;
  return (data) => {
    const value: unknown = JSON.parse(textOf(data));
    if (isValid(value)) return [];
    if (data.length > ALL_PROBLEMS_DATA_BYTES_MAX) return dataProblems(isValid.errors);
    findAll ??= newAjv(true).compile(schema);
    findAll(value);
    return dataProblems(findAll.errors);
  };
}

function newAjv(allErrors: boolean): Ajv2020 {
  return new Ajv2020({
    allErrors,
    strictSchema: true,
    strictTypes: false,
    strictTuples: false,
    // Formats are annotations, as the draft has it by default.
    validateFormats: false,
    // `constructor` and the like are members only where data has them.
    ownProperties: true,
    inlineRefs: false,
    logger: false,
    code: { regExp: linearTimeRegExp },
  });
}

/** Ajv would remember the schema under its name. */
function withoutName({ $id: _, ...schema }: AnySchemaObject): AnySchemaObject {
  return schema;
}

/** @throws for a pattern that has no linear-time form */
function linearTimeRegExp(pattern: string): RE2JS {
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}
/** How Ajv would name it in code written to a file, which is never done here. */
linearTimeRegExp.code = 'linearTimeRegExp';

function patternProblems({ schema, pointer }: { schema: JsonSchema; pointer: string }): SchemaProblem[] {
  if (typeof schema === 'boolean') return [];
  const { pattern, patternProperties } = schema;
  const names = Object.keys(patternProperties ?? {});
  const at = jsonPointerTo(pointer, 'patternProperties');
  return [
    ...(typeof pattern === 'string' ? [[jsonPointerTo(pointer, 'pattern'), pattern] as const] : []),
    ...names.map((name) => [jsonPointerTo(at, name), name] as const),
  ].flatMap(([place, text]) => {
    const message = patternProblem(text);
    return message === null ? [] : [{ pointer: place, message }];
  });
}

function patternProblem(pattern: string): string | null {
  if (pattern.length > PATTERN_LENGTH_MAX) return `must have at most ${PATTERN_LENGTH_MAX} characters`;
  try {
    const isTooLarge = linearTimeRegExp(pattern).programSize() > PATTERN_PROGRAM_MAX;
    return isTooLarge ? 'repeats too much' : null;
  } catch {
    return 'must be a regular expression without look-around and back-references (RE2)';
  }
}

function dataProblems(errors: ErrorObject[] | null | undefined): DataProblem[] {
  const problems = new Map<string, DataProblem>();
  for (const error of errors ?? []) {
    const problem = { pointer: pointerOf(error).slice(0, POINTER_LENGTH_SHOWN), message: messageOf(error) };
    if (problems.size < DATA_PROBLEMS_MAX) problems.set(JSON.stringify(problem), problem);
  }
  return [...problems.values()];
}

/** Where a member is missing or in the way, the member; else the value that is wrong. */
function pointerOf({ instancePath, params }: ErrorObject): string {
  const { missingProperty, additionalProperty, unevaluatedProperty, propertyName } = params as Record<
    string,
    string | undefined
  >;
  const member = missingProperty ?? additionalProperty ?? unevaluatedProperty ?? propertyName;
  return member === undefined ? instancePath : jsonPointerTo(instancePath, member);
}

function messageOf({ keyword, message }: ErrorObject): string {
  switch (keyword) {
    case 'required':
      return 'is required';
    case 'additionalProperties':
    case 'unevaluatedProperties':
    case 'false schema':
      return 'is not allowed here';
    default:
      return message ?? 'does not fit the schema';
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
