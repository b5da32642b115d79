import { compileEventTypeSchema, eventTypeSchemaProblems } from '#adapters/json-schema/event-type-schema.js';
import type { EventTypeDefinition, EventTypeRecord } from '#adapters/postgres/event-types.js';
import type { JsonSchema, SchemaProblem } from '#domain/json-schema.js';
import type { JsonDocument, JsonSpan } from '#domain/raw-json.js';
import { breakingChanges } from '#domain/schema-compatibility.js';
import { DATA_BYTES_MAX, DATA_DEPTH_MAX } from '../events/events.schema.js';
import { ApiError, type InputProblem, invalidRequest } from '../http/api-error.js';
import { utf8 } from '../http/json-text.js';
import { problemsOf } from '../http/validation.js';
import {
  eventTypePut,
  type EventTypePutInput,
  SCHEMA_BYTES_MAX,
  SCHEMA_DEPTH_MAX,
} from './event-type.schema.js';

/**
 * What a PUT says of an event type, with the bytes of its schema and example.
 *
 * @param document null: an empty body
 * @throws {ApiError} 422 with the path of everything that is wrong; within schema and example it is a JSON Pointer
 */
export function definitionOf(document: JsonDocument | null): EventTypeDefinition {
  const spans = spansOf(document);
  refuse([
    ...sizeProblems('schema', spans.schema, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX),
    ...sizeProblems('example', spans.example, DATA_BYTES_MAX, DATA_DEPTH_MAX),
  ]);
  const checked = eventTypePut.safeParse(document === null ? {} : document.valueOf(document.root));
  if (!checked.success) throw invalidRequest(problemsOf(checked.error.issues));

  const input = checked.data;
  const definition: EventTypeDefinition = {
    description: input.description,
    schema: input.schema && bytesOf(document, spans.schema),
    example: input.example && bytesOf(document, spans.example),
    redact: [...new Set(input.redact)],
    retryScheduleSeconds: input.retry_schedule_seconds,
  };
  refuse(schemaProblemsOf(input));
  refuse(exampleProblems(definition));
  return definition;
}

/**
 * Data that the type's schema allows must not be refused by the next one. A first schema is compared with nothing.
 * @throws {ApiError} 409 with the path of each change
 */
export function refuseBreakingChanges(current: EventTypeRecord | null, next: EventTypeDefinition): void {
  const schema = current?.schema ?? null;
  if (schema === null || next.schema === null) return;
  const changes = breakingChanges(schemaOf(schema), schemaOf(next.schema));
  const errors = changes.map((problem) => atSchema(problem));
  const [first] = errors;
  if (first === undefined) return;
  throw new ApiError(
    'conflict',
    `The schema may refuse data that is allowed now; ?force=true takes it all the same. ${first.path}: ${first.message}`,
    { errors },
  );
}

function schemaProblemsOf({ schema }: EventTypePutInput): InputProblem[] {
  if (schema === null) return [];
  return eventTypeSchemaProblems(schema as Readonly<Record<string, unknown>>).map(atSchema);
}

function atSchema({ pointer, message }: SchemaProblem): InputProblem {
  return { path: `schema${pointer}`, message };
}

function exampleProblems({ schema, example }: EventTypeDefinition): InputProblem[] {
  if (schema === null || example === null) return [];
  return compileEventTypeSchema(schema)(example).map(({ pointer, message }) => ({
    path: `example${pointer}`,
    message,
  }));
}

interface Spans {
  readonly schema: JsonSpan | undefined;
  readonly example: JsonSpan | undefined;
}

function spansOf(document: JsonDocument | null): Spans {
  const members = document?.members(document.root) ?? [];
  const valueOf = (name: string): JsonSpan | undefined => members.find(({ key }) => key === name)?.value;
  return { schema: valueOf('schema'), example: valueOf('example') };
}

function sizeProblems(
  path: string,
  span: JsonSpan | undefined,
  bytesMax: number,
  depthMax: number,
): InputProblem[] {
  if (span === undefined) return [];
  if (span.end - span.start > bytesMax) return [{ path, message: `must have at most ${bytesMax} bytes` }];
  if (span.depth > depthMax) return [{ path, message: `must be nested at most ${depthMax} deep` }];
  return [];
}

function bytesOf(document: JsonDocument | null, span: JsonSpan | undefined): Uint8Array<ArrayBuffer> | null {
  // A copy: the body's own memory is not kept alive for a part of it.
  return document === null || span === undefined ? null : new Uint8Array(document.bytesOf(span));
}

function schemaOf(bytes: Uint8Array): JsonSchema {
  return JSON.parse(utf8(bytes)) as JsonSchema;
}

function refuse(problems: readonly InputProblem[]): void {
  const [first, ...rest] = problems.slice(0, PROBLEMS_MAX);
  if (first !== undefined) throw invalidRequest([first, ...rest]);
}

/** As for any other body: more problems than anybody fixes in one go. */
const PROBLEMS_MAX = 100;
