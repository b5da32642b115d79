import type { Principal } from '#adapters/postgres/api-keys.js';
import { ScalarReader } from '#domain/json-scalar.js';
import type { JsonDocument, JsonMember, JsonSpan } from '#domain/raw-json.js';
import { parseRfc3339 } from '#domain/timestamps.js';
import type { EventDraft } from '#pipeline/accept.js';
import { actingMerchant } from '../auth/principal.js';
import { invalidRequest, notFound, type InputProblem } from '../http/api-error.js';
import { problemsOf } from '../http/validation.js';
import {
  BATCH_EVENTS_MAX,
  DATA_BYTES_MAX,
  DATA_DEPTH_MAX,
  newEvent,
  type NewEventInput,
} from './events.schema.js';

/** Stands for data, there or not, while the other members are checked: data is judged by its bytes. */
const DATA_SEEN = {};

/**
 * The event that a body holds, cut from the same parse that has validated it.
 * @throws {ApiError} 422 with the path of everything that is wrong; 404 for a malformed merchant id
 */
export function draftOf(document: JsonDocument | null, principal: Principal): EventDraft {
  const read = document === null ? missingMembers() : readEvent(document, document.root, '');
  if (read.problems !== null) throw invalidRequest(read.problems);
  return toDraft(read, principal);
}

/**
 * The events of a batch, in their order.
 * @throws {ApiError} as {@link draftOf}; also 422 when one id of a merchant stands in the batch twice
 */
export function draftsOf(document: JsonDocument | null, principal: Principal): EventDraft[] {
  const elements = batchElements(document);
  const reads = elements.map((span, index) =>
    document === null ? missingMembers() : readEvent(document, span, `events.${index}.`),
  );
  const problems = reads.flatMap((read) => read.problems ?? []);
  const [first, ...rest] = problems.length > 0 ? problems : repeatedIds(reads);
  if (first !== undefined) throw invalidRequest([first, ...rest.slice(0, PROBLEMS_MAX - 1)]);
  return reads.map((read) => toDraft(read as ReadEvent, principal));
}

interface ReadEvent {
  readonly problems: null;
  readonly input: NewEventInput;
  readonly document: JsonDocument;
  readonly data: JsonSpan;
}

interface BadEvent {
  readonly problems: [InputProblem, ...InputProblem[]];
}

function readEvent(document: JsonDocument, span: JsonSpan, path: string): ReadEvent | BadEvent {
  if (span.kind !== 'object')
    return { problems: [{ path: path.slice(0, -1), message: 'must be an object' }] };
  const members = document.members(span);
  const repeated = repeatedKey(members);
  if (repeated !== null)
    return { problems: [{ path: `${path}${repeated}`, message: 'is there more than once' }] };

  const data = members.find(({ key }) => key === 'data')?.value;
  const checked = newEvent.safeParse(plainValue(document, members));
  const problems: InputProblem[] = checked.success
    ? []
    : problemsOf(checked.error.issues).map((problem) => ({ ...problem, path: `${path}${problem.path}` }));
  const dataProblem = problemOfData(data);
  if (dataProblem !== null) problems.push({ path: `${path}data`, message: dataProblem });
  const [first, ...rest] = problems;
  if (first !== undefined) return { problems: [first, ...rest] };
  return { problems: null, input: checked.data as NewEventInput, document, data: data as JsonSpan };
}

/** The members beside data as plain values, for the schema. A name such as `__proto__` stays an own property. */
function plainValue(document: JsonDocument, members: readonly JsonMember[]): object {
  const others = members.filter(({ key }) => key !== 'data');
  return {
    ...Object.fromEntries(others.map(({ key, value }) => [key, document.valueOf(value)])),
    data: DATA_SEEN,
  };
}

function problemOfData(data: JsonSpan | undefined): string | null {
  if (data === undefined) return 'is required';
  if (data.kind !== 'object') return 'must be an object';
  if (data.end - data.start > DATA_BYTES_MAX) return `must have at most ${DATA_BYTES_MAX} bytes`;
  if (data.depth > DATA_DEPTH_MAX) return `must be nested at most ${DATA_DEPTH_MAX} deep`;
  return null;
}

function toDraft({ input, document, data }: ReadEvent, principal: Principal): EventDraft {
  const merchantId = actingMerchant(principal, input.merchant_id);
  if (merchantId === null) throw notFound();
  let scalars: ScalarReader | undefined;
  return {
    merchantId,
    type: input.type,
    data: document.bytesOf(data),
    dataKeys: () => document.members(data).map(({ key }) => key),
    dataScalars: () => (scalars ??= new ScalarReader(document, data)),
    producerId: input.id ?? null,
    createdAt: timeOf(input.created_at),
    orderingKey: input.ordering_key ?? null,
    deliverAt: timeOf(input.deliver_at),
  };
}

function timeOf(text: string | undefined): EventDraft['createdAt'] {
  const ms = text === undefined ? null : parseRfc3339(text);
  return text === undefined || ms === null ? null : { text, ms };
}

function batchElements(document: JsonDocument | null): readonly JsonSpan[] {
  const members = document?.members(document.root) ?? [];
  const unknown = members.filter(({ key }) => key !== 'events');
  const problems: InputProblem[] = unknown.map(({ key }) => ({ path: key, message: 'is not a known field' }));
  const events = members.find(({ key }) => key === 'events')?.value;
  const elements = document !== null && events?.kind === 'array' ? document.elements(events) : null;
  if (elements === null || elements.length === 0 || elements.length > BATCH_EVENTS_MAX) {
    problems.push({ path: 'events', message: `must be an array of 1 to ${BATCH_EVENTS_MAX} events` });
  }
  const [first, ...rest] = problems;
  if (first !== undefined) throw invalidRequest([first, ...rest.slice(0, PROBLEMS_MAX - 1)]);
  return elements ?? [];
}

/** One id of a merchant twice in a batch: whichever came second would be either nothing new or a conflict. */
function repeatedIds(reads: readonly (ReadEvent | BadEvent)[]): InputProblem[] {
  const seen = new Set<string>();
  const problems: InputProblem[] = [];
  for (const [index, read] of reads.entries()) {
    if (read.problems !== null || read.input.id === undefined) continue;
    const key = `${read.input.merchant_id} ${read.input.id}`;
    if (seen.has(key))
      problems.push({ path: `events.${index}.id`, message: 'stands in the batch more than once' });
    seen.add(key);
  }
  return problems;
}

function repeatedKey(members: readonly JsonMember[]): string | null {
  const seen = new Set<string>();
  for (const { key } of members) {
    if (seen.has(key)) return key;
    seen.add(key);
  }
  return null;
}

/** What an empty body is: an object without the members that are required. */
function missingMembers(): BadEvent {
  return {
    problems: [
      { path: 'merchant_id', message: 'is required' },
      { path: 'type', message: 'is required' },
      { path: 'data', message: 'is required' },
    ],
  };
}

/** As for any other body: more problems than anybody fixes in one go. */
const PROBLEMS_MAX = 100;
