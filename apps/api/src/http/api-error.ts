import { API_ERRORS, type ApiErrorCode } from '#domain/error-codes.js';

/** One thing that is wrong with what a client sent. */
export interface InputProblem {
  /** Where it stands, as the client would write it: `events.0.data`, `cursor`; empty for the whole body. */
  readonly path: string;
  readonly message: string;
}

/** An answer with the one error shape. Whatever throws it, wherever, the client gets exactly this. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;

  /**
   * @param message for the client: names no internals
   * @param data what stands in the answer's `data`
   * @param headers sent along, such as `retry-after`
   */
  constructor(
    readonly code: ApiErrorCode,
    message: string = API_ERRORS[code].meaning,
    readonly data: unknown = null,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = API_ERRORS[code].status;
  }
}

/** 404, with the same words whether a thing is missing, its id malformed, or it belongs to somebody else. */
export function notFound(): ApiError {
  return new ApiError('not_found', 'There is nothing here that this key can see.');
}

export function conflict(message: string, data: unknown = null): ApiError {
  return new ApiError('conflict', message, data);
}

/** 422 with every problem at its path. */
export function invalidRequest(
  problems: readonly [InputProblem, ...InputProblem[]],
  code: 'invalid_request' | 'url_not_allowed' | 'schema_mismatch' = 'invalid_request',
): ApiError {
  const [first] = problems;
  const message = first.path === '' ? first.message : `${first.path}: ${first.message}`;
  return new ApiError(
    code,
    problems.length === 1 ? message : `${message} (and ${problems.length - 1} more)`,
    {
      errors: problems,
    },
  );
}
