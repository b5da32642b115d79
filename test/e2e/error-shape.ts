import type { WireAnswer } from './wire.js';

export interface ErrorAnswer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly data: { readonly errors: readonly { readonly path: string; readonly message: string }[] } | null;
  readonly request_id: string;
}

/** The statuses of the contract's codes; what HTTP itself refuses is `invalid_request` with HTTP's own status. */
const STATUSES: Readonly<Record<string, readonly number[]>> = {
  malformed_json: [400],
  unauthenticated: [401],
  forbidden: [403],
  not_found: [404],
  method_not_allowed: [405],
  conflict: [409],
  idempotency_conflict: [409],
  payload_too_large: [413],
  unsupported_media_type: [415],
  invalid_request: [422, 400, 431],
  url_not_allowed: [422],
};
const MEMBERS = 'status,code,message,data,request_id';
const REQUEST_ID = /^req_[0-7][0-9a-hjkmnp-tv-z]{25}$/;
/** Traces, paths of the sources, names of parts, statements and classes that no client should ever read. */
const INTERNALS =
  /\n\s*at |\bat \S+ \(|node_modules|\/dist\/|\/libs\/|\.[cm]?[jt]s\b|prisma|postgres|sqlstate|\bzod\b|@?nestjs|fastify|undici|\b(?:select|insert|update|delete)\b.*\b(?:from|into|set)\b|violates|constraint|undefined|\[object/i;
const ERROR_CLASS = /\b[A-Z]\w*Error\b/;

/**
 * What is wrong with an answer that refuses something, each in a few words; empty: it has the one shape and tells
 * nothing of the inside. What a client wrote itself may come back in paths, so those are not searched.
 */
export function refusalProblems(answer: WireAnswer): string[] {
  if (answer.status < 400 || answer.status >= 500)
    return [`nothing was refused: ${answer.status} ${answer.text.slice(0, 200)}`];
  const problems: string[] = [];
  const requestId = answer.headers['x-request-id'];
  if (!REQUEST_ID.test(String(requestId))) problems.push(`X-Request-Id is ${String(requestId)}`);
  if (answer.headers['content-type'] !== 'application/json; charset=utf-8')
    problems.push(`the content type is ${String(answer.headers['content-type'])}`);
  const body = readError(answer.text);
  if (body === null) return [...problems, `the body is ${answer.text.slice(0, 200)}`];
  if (Object.keys(body).join() !== MEMBERS) problems.push(`the members are ${Object.keys(body).join()}`);
  if (body.status !== answer.status) problems.push(`status says ${body.status}`);
  if (STATUSES[body.code]?.includes(answer.status) !== true) problems.push(`code is ${body.code}`);
  if (body.request_id !== requestId) problems.push('request_id is not that of the header');
  const messages = [messageWithoutPath(body), ...(body.data?.errors ?? []).map(({ message }) => message)];
  for (const message of messages) {
    if (typeof message !== 'string' || message === '') problems.push('a message is missing');
    else if (INTERNALS.test(message) || ERROR_CLASS.test(message))
      problems.push(`a message tells of the inside: ${message}`);
  }
  if (answer.status === 422 && (body.data?.errors.length ?? 0) === 0) problems.push('no path is named');
  return problems;
}

/** The paths that a refusal names; empty when it names none. */
export function refusedPaths(answer: WireAnswer): string[] {
  return (readError(answer.text)?.data?.errors ?? []).map(({ path }) => path);
}

export function readError(text: string): ErrorAnswer | null {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as ErrorAnswer) : null;
  } catch {
    return null;
  }
}

function messageWithoutPath({ message, data }: ErrorAnswer): string {
  const first = data?.errors[0]?.path;
  return first === undefined || first === '' ? message : message.replace(`${first}: `, '');
}
