import * as z from 'zod';
import type { RequiredMember } from '#domain/acknowledgement.js';
import { parseJsonPointer } from '#domain/json-pointer.js';
import { canonicalText } from '#domain/json-scalar.js';
import type { FilterCondition } from '#domain/payload-filter.js';
import type { JsonDocument, JsonSpan } from '#domain/raw-json.js';
import { invalidRequest, type InputProblem } from '../http/api-error.js';
import { text } from '../http/fields.js';

/**
 * What a webhook asks of an event's data and of its receiver's answers: fields that hold scalars to compare with. They
 * are kept as the JSON texts that came, because a number that was once a double may be another one.
 */

const CONDITIONS_MAX = 10;
/** A filter is looked at with every event: room for the currencies or countries of a region, not for a table. */
const VALUES_MAX = 50;
const POINTER_LENGTH_MAX = 256;
const SCALAR_LENGTH_MAX = 256;
/** More digits than any amount or id has; keeps what is compared short. */
const NUMBER_LENGTH_MAX = 64;
const SUCCESS_STATUSES_MAX = 20;
const REQUIRED_MEMBERS_MAX = 10;
const MEMBER_NAME_LENGTH_MAX = 128;
/** Says that the endpoint is gone for good, which cannot be a success as well. */
const GONE = 410;

type Scalar = string | number | boolean | null;

const COMPARED =
  'Numbers are compared by value and exactly, however they are written: 1.1 is 1.10, and 9007199254740993 is not ' +
  '9007199254740992. Of repeated members the last one counts.';

const scalar = z
  .custom<Scalar>(isScalar, 'must be a string, a number, true, false or null')
  .refine((value) => typeof value !== 'string' || Array.from(value).length <= SCALAR_LENGTH_MAX, {
    error: `must have at most ${SCALAR_LENGTH_MAX} characters`,
  })
  .meta({ type: ['string', 'number', 'boolean', 'null'], maxLength: SCALAR_LENGTH_MAX });

const condition = z
  .strictObject({
    pointer: text({ lengthMin: 1, lengthMax: POINTER_LENGTH_MAX })
      .refine((value) => parseJsonPointer(value) !== null, 'must be a JSON Pointer, such as /amount/currency')
      .meta({ description: "A JSON Pointer (RFC 6901) into the event's data.", examples: ['/currency'] }),
    equals: scalar.optional(),
    in: z.array(scalar).min(1).max(VALUES_MAX).optional(),
  })
  .refine((value) => (value.equals === undefined) !== (value.in === undefined), {
    error: 'must have one of equals and in',
  })
  .meta({ id: 'FilterCondition' });

export const filter = z
  .array(condition)
  .max(CONDITIONS_MAX)
  .nullable()
  .meta({
    description:
      'Only events of which all of these hold are delivered: what the pointer finds in the data is the value, or one ' +
      'of the values. What it does not find, or finds to be an object or an array, holds for none; null is only an ' +
      `explicit null. Decided when an event is accepted. ${COMPARED} null: every event of its types.`,
    examples: [[{ pointer: '/currency', in: ['GHS', 'NGN'] }]],
  });

export const successStatuses = z
  .array(
    z
      .int()
      .min(200)
      .max(599)
      .refine((status) => status !== GONE, 'cannot be a success: it disables the webhook'),
  )
  .min(1)
  .max(SUCCESS_STATUSES_MAX)
  .refine((statuses) => new Set(statuses).size === statuses.length, 'must not have a status twice')
  .nullable()
  .meta({
    description:
      'The statuses that are a success, and no others: any of 200 to 599 but 410. A redirect that is listed is not ' +
      'followed either. null: any 2xx.',
    examples: [[200, 202, 409]],
  });

const memberName = text({ lengthMax: MEMBER_NAME_LENGTH_MAX });

export const requiredResponse = z
  .custom<Readonly<Record<string, Scalar>>>(isPlainObject, 'must be an object')
  .superRefine((members, context) => {
    const entries = Object.entries(members);
    if (entries.length === 0 || entries.length > REQUIRED_MEMBERS_MAX) {
      context.addIssue({ code: 'custom', message: `must have 1 to ${REQUIRED_MEMBERS_MAX} members` });
      return;
    }
    for (const [name, value] of entries) {
      const judged = memberName.safeParse(name).success
        ? scalar.safeParse(value)
        : memberName.safeParse(name);
      const [issue] = judged.error?.issues ?? [];
      if (issue !== undefined) context.addIssue({ code: 'custom', path: [name], message: issue.message });
    }
  })
  .nullable()
  .meta({
    type: ['object', 'null'],
    minProperties: 1,
    maxProperties: REQUIRED_MEMBERS_MAX,
    propertyNames: { type: 'string', maxLength: MEMBER_NAME_LENGTH_MAX },
    additionalProperties: { type: ['string', 'number', 'boolean', 'null'], maxLength: SCALAR_LENGTH_MAX },
    description:
      'Members that an answer must have, at its top level and with these values, besides a status that is a success. ' +
      'The answer is a JSON object of at most 16 KiB. One that differs is an `invalid_response` with the ' +
      `\`error_code\` \`response_mismatch\`, and is tried again like any failure. ${COMPARED} null: the body does not matter.`,
    examples: [{ success: true }],
  });
/** The fields whose scalars are JSON texts; `undefined`: not in the body. */
export interface ExactFields {
  readonly filter: readonly FilterCondition[] | null | undefined;
  readonly requiredResponse: readonly RequiredMember[] | null | undefined;
}

/**
 * Reads them out of a body that the schemas have found right.
 * @throws {ApiError} 422 for a number of too many digits
 */
export function exactFields(document: JsonDocument | null): ExactFields {
  if (document === null) return { filter: undefined, requiredResponse: undefined };
  const reader = new ExactReader(document);
  const fields = {
    filter: reader.filter(lastMember(document, document.root, 'filter')),
    requiredResponse: reader.members(lastMember(document, document.root, 'required_response')),
  };
  const [first, ...rest] = reader.problems;
  if (first !== undefined) throw invalidRequest([first, ...rest]);
  return fields;
}

class ExactReader {
  readonly problems: InputProblem[] = [];

  constructor(private readonly document: JsonDocument) {}

  filter(span: JsonSpan | undefined): readonly FilterCondition[] | null | undefined {
    if (span === undefined || span.kind === 'null') return span && null;
    return this.document.elements(span).map((element, index): FilterCondition => {
      const member = (name: string) => lastMember(this.document, element, name);
      const pointer = this.document.valueOf(member('pointer') as JsonSpan) as string;
      const path = `filter.${index}`;
      const equals = member('equals');
      if (equals !== undefined) return { pointer, equals: this.scalar(equals, `${path}.equals`) };
      const values = this.document.elements(member('in') as JsonSpan);
      return { pointer, in: values.map((value, at) => this.scalar(value, `${path}.in.${at}`)) };
    });
  }

  members(span: JsonSpan | undefined): readonly RequiredMember[] | null | undefined {
    if (span === undefined || span.kind === 'null') return span && null;
    const members = new Map(this.document.members(span).map(({ key, value }) => [key, value]));
    return [...members].map(([name, value]) => [name, this.scalar(value, `required_response.${name}`)]);
  }

  private scalar(span: JsonSpan, path: string): string {
    if (span.kind !== 'number') return JSON.stringify(this.document.valueOf(span));
    const number = Buffer.from(this.document.bytesOf(span)).toString('latin1');
    if (number.length > NUMBER_LENGTH_MAX || canonicalText(number) === null)
      this.problems.push({ path, message: `must be a number of at most ${NUMBER_LENGTH_MAX} characters` });
    return number;
  }
}

/** As they came, numbers included. */
export function viewFilter(conditions: readonly FilterCondition[] | null): z.infer<typeof filter> {
  return (
    conditions?.map((one) =>
      'in' in one
        ? { pointer: one.pointer, in: one.in.map(shown) }
        : { pointer: one.pointer, equals: shown(one.equals) },
    ) ?? null
  );
}

export function viewRequiredResponse(
  members: readonly RequiredMember[] | null,
): z.infer<typeof requiredResponse> {
  return members && Object.fromEntries(members.map(([name, json]) => [name, shown(json)]));
}

declare global {
  interface JSON {
    /** ECMAScript's JSON.parse source text access: a value that `JSON.stringify` writes as this text. */
    rawJSON(text: string): unknown;
  }
}

/** A number that a double would change is written as its text. */
function shown(json: string): Scalar {
  const value = JSON.parse(json) as Scalar;
  const isExact = typeof value !== 'number' || canonicalText(JSON.stringify(value)) === canonicalText(json);
  return isExact ? value : (JSON.rawJSON(json) as Scalar);
}

function lastMember(document: JsonDocument, span: JsonSpan, name: string): JsonSpan | undefined {
  return document.members(span).findLast(({ key }) => key === name)?.value;
}

function isScalar(value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function isPlainObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
