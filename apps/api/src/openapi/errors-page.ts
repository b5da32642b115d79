import { API_ERRORS, ATTEMPT_ERRORS, DELIVERY_ERRORS } from '#domain/error-codes.js';

/** `docs/errors.md`, whole. */
export function errorsPage(): string {
  const answers = Object.entries(API_ERRORS).map(
    ([code, { status, meaning }]) => `### ${code}\n\n${status}. ${meaning}\n`,
  );
  return [
    INTRODUCTION,
    answers.join('\n'),
    DELIVERIES,
    sections(DELIVERY_ERRORS),
    ATTEMPTS,
    sections(ATTEMPT_ERRORS),
  ].join('\n');
}

function sections(meanings: Readonly<Record<string, string>>): string {
  return Object.entries(meanings)
    .map(([code, meaning]) => `### ${code}\n\n${meaning}\n`)
    .join('\n');
}

const INTRODUCTION = `# Errors

Every error answer has one shape. Branch on \`code\`; \`message\` is for people and may change. \`request_id\` is also in the
\`X-Request-Id\` header and finds the request in the logs. For invalid input \`data.errors\` names each problem with the path of
its field. This page is made from \`libs/domain/src/error-codes.ts\`, and a test keeps it so.

\`\`\`json
{
  "status": 422,
  "code": "invalid_request",
  "message": "name: must not be empty",
  "data": { "errors": [{ "path": "name", "message": "must not be empty" }] },
  "request_id": "req_01m81q5z59extsqc20gzhdzew7"
}
\`\`\`

Where more than one thing is wrong, the first of these is told: 413, 401, 429, 403, 404, 415, 400, 422.

What cannot be read as HTTP at all gets the same shape with the code \`invalid_request\` and the status that HTTP gives to the
fault: 400, 408 when the request did not arrive in time, 431 when its headers are too large or too many.

## Answers
`;

const DELIVERIES = `## Deliveries

A delivery's own \`error_code\`, when it ended for another reason than its last attempt:
`;

const ATTEMPTS = `## Attempts

An attempt's \`error_code\`, when there was no whole answer. These are Posthorn's own; any other is the code of the system, the
resolver, TLS or the HTTP parser in lower case, such as \`econnrefused\`, \`enotfound\` or \`cert_has_expired\`:
`;
