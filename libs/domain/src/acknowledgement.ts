import { classifyResponse } from './attempt-outcome.js';
import { canonicalText, ScalarReader } from './json-scalar.js';
import { JsonSyntaxError, parseRawJson } from './raw-json.js';

/** A member that an answer must have: its name, and its scalar as JSON text. */
export type RequiredMember = readonly [name: string, json: string];

/** When an endpoint's answer counts as success. */
export interface AcknowledgementPolicy {
  /** Null: any 2xx. */
  readonly successStatuses: readonly number[] | null;
  /** Null: the body does not matter. */
  readonly requiredResponse: readonly RequiredMember[] | null;
}

export interface Answer {
  readonly statusCode: number;
  /** As much of it as is kept. */
  readonly body: Uint8Array;
  readonly bodyTruncated: boolean;
}

/** How an answered attempt ended. */
export type Judgement =
  | { readonly outcome: 'succeeded' | 'redirect' | 'http_error' }
  | {
      readonly outcome: 'invalid_response';
      readonly errorCode: 'response_mismatch';
      readonly message: string;
    };

/** The status is judged first: only an answer whose status is a success has to have the members too. */
export function judgeAnswer(answer: Answer, policy: AcknowledgementPolicy): Judgement {
  const outcome = classifyResponse(answer.statusCode, {
    successStatuses: policy.successStatuses ?? undefined,
  });
  if (outcome !== 'succeeded' || policy.requiredResponse === null) return { outcome };
  const problem = mismatch(answer, policy.requiredResponse);
  return problem === null
    ? { outcome }
    : { outcome: 'invalid_response', errorCode: 'response_mismatch', message: problem };
}

/** What is wrong with an answer, without repeating what stands in it. */
function mismatch({ body, bodyTruncated }: Answer, required: readonly RequiredMember[]): string | null {
  if (bodyTruncated) return 'The answer is longer than what is kept of it.';
  const members = readObject(body);
  if (members === null) return 'The answer is not a JSON object.';
  const missing = required.find(([name, json]) => {
    const found = members.at([name]);
    return found === null || found !== canonicalText(json);
  });
  return missing === undefined
    ? null
    : `The answer's member ${JSON.stringify(missing[0])} is missing or another.`;
}

function readObject(body: Uint8Array): ScalarReader | null {
  try {
    const document = parseRawJson(body);
    return document.root.kind === 'object' ? new ScalarReader(document) : null;
  } catch (error) {
    if (error instanceof JsonSyntaxError) return null;
    throw error;
  }
}
