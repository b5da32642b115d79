import { StandardSchemaValidationPipe, type StandardSchemaValidationPipeOptions } from '@nestjs/common';
import * as z from 'zod';
import { invalidRequest, type InputProblem } from './api-error.js';

type Issues = Parameters<NonNullable<StandardSchemaValidationPipeOptions['exceptionFactory']>>[0];

/** More problems than anybody fixes in one go; a body of 500 events could name thousands. */
const PROBLEMS_MAX = 100;

/** Checks `@Body({ schema })`, `@Query({ schema })` and `@Param({ schema })` and answers 422 with each problem's path. */
export class SchemaPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({ exceptionFactory: (issues) => invalidRequest(problemsOf(issues)) });
  }

  /**
   * Nest would delete `__proto__` and `constructor` before the schema sees them. Here they are unknown fields like any
   * other, which strict schemas refuse.
   */
  protected override stripProtoKeys(): void {
    return;
  }
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'a boolean',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'a string',
};

/** JSON has no `undefined`, which is what the library says of a field that is missing. */
function wordsForType(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== 'invalid_type') return undefined;
  if (issue.input === undefined) return 'is required';
  const words = TYPE_WORDS[issue.expected];
  return words === undefined ? undefined : `must be ${words}`;
}

// The library takes it for the whole process or for each schema on its own; no other one judges what clients send.
z.config({ customError: wordsForType });

/** The problems of a failed validation. A field that is not known is named by its own path. */
export function problemsOf(issues: Issues): [InputProblem, ...InputProblem[]] {
  const mistyped = new Set(issues.filter(isTypeIssue).map(pathOf));
  // What has the wrong type is not too long besides, though a string has a length as well.
  const telling = issues.filter((issue) => isTypeIssue(issue) || !mistyped.has(pathOf(issue)));
  const [first, ...rest] = telling.flatMap(problemsOfIssue).slice(0, PROBLEMS_MAX);
  return [first ?? { path: '', message: 'is not valid' }, ...rest];
}

function isTypeIssue(issue: Issues[number]): boolean {
  return 'code' in issue && issue.code === 'invalid_type';
}

function pathOf({ path = [] }: Issues[number]): string {
  return path.map((segment) => String(typeof segment === 'object' ? segment.key : segment)).join('.');
}

function problemsOfIssue(issue: Issues[number]): InputProblem[] {
  const path = pathOf(issue);
  const unknownKeys = 'keys' in issue && Array.isArray(issue.keys) ? issue.keys.map(String) : [];
  if (unknownKeys.length === 0) return [{ path, message: issue.message }];
  return unknownKeys.map((key) => ({
    path: path === '' ? key : `${path}.${key}`,
    message: 'is not a known field',
  }));
}
