import { expect, test } from '@jest/globals';
import { type AcknowledgementPolicy, type Answer, judgeAnswer } from './acknowledgement.js';

const ANY: AcknowledgementPolicy = { successStatuses: null, requiredResponse: null };
const SUCCESS: AcknowledgementPolicy = { ...ANY, requiredResponse: [['success', 'true']] };
const TWO: AcknowledgementPolicy = {
  ...ANY,
  requiredResponse: [
    ['code', '200'],
    ['status', '"ok"'],
  ],
};

function answer(statusCode: number, body = '', bodyTruncated = false): Answer {
  return { statusCode, body: Buffer.from(body), bodyTruncated };
}

test.each<[string, AcknowledgementPolicy, Answer]>([
  ['succeeded', ANY, answer(204)],
  ['succeeded', ANY, answer(200, '{"success":false}')],
  ['http_error', ANY, answer(409)],
  ['redirect', ANY, answer(302)],
  ['succeeded', { ...ANY, successStatuses: [409, 302] }, answer(409)],
  ['succeeded', { ...ANY, successStatuses: [409, 302] }, answer(302)],
  ['http_error', { ...ANY, successStatuses: [409, 302] }, answer(200)],
  ['succeeded', SUCCESS, answer(200, ' {"success" : true, "more": [1]} ')],
  ['succeeded', SUCCESS, answer(200, '{"success":false,"success":true}')],
  ['invalid_response', SUCCESS, answer(200, '{"success":true,"success":false}')],
  ['invalid_response', SUCCESS, answer(200, '{"success":"true"}')],
  ['invalid_response', SUCCESS, answer(200, '{"success":1}')],
  ['invalid_response', SUCCESS, answer(200, '{"result":{"success":true}}')],
  ['invalid_response', SUCCESS, answer(200, '[{"success":true}]')],
  ['invalid_response', SUCCESS, answer(200, 'true')],
  ['invalid_response', SUCCESS, answer(200, '')],
  ['invalid_response', SUCCESS, answer(200, 'OK')],
  ['invalid_response', SUCCESS, answer(200, '{"success":true')],
  ['invalid_response', SUCCESS, answer(200, '\ufeff{"success":true}')],
  ['invalid_response', SUCCESS, answer(200, '{"success":true}', true)],
  ['invalid_response', SUCCESS, answer(200, '['.repeat(16_384))],
  ['http_error', SUCCESS, answer(500, '{"success":true}')],
  ['redirect', SUCCESS, answer(301, '{"success":true}')],
  ['succeeded', { ...SUCCESS, successStatuses: [500] }, answer(500, '{"success":true}')],
  ['succeeded', TWO, answer(200, '{"status":"ok","code":2e2}')],
  ['invalid_response', TWO, answer(200, '{"status":"ok"}')],
  ['succeeded', { ...ANY, requiredResponse: [['error', 'null']] }, answer(200, '{"error":null}')],
  ['invalid_response', { ...ANY, requiredResponse: [['error', 'null']] }, answer(200, '{}')],
  ['succeeded', { ...ANY, requiredResponse: [['__proto__', '1']] }, answer(200, '{"__proto__":1}')],
])('%s: %j %p', (outcome, policy, given) => {
  expect(judgeAnswer(given, policy)).toMatchObject({ outcome });
});

test('a mismatch says what is wrong and repeats nothing of the answer', () => {
  expect(judgeAnswer(answer(200, '{"success":"a secret"}'), SUCCESS)).toEqual({
    outcome: 'invalid_response',
    errorCode: 'response_mismatch',
    message: 'The answer\'s member "success" is missing or another.',
  });
  expect(judgeAnswer(answer(200, 'a secret'), SUCCESS)).toMatchObject({
    message: 'The answer is not a JSON object.',
  });
  expect(judgeAnswer(answer(200, '{', true), SUCCESS)).toMatchObject({
    message: 'The answer is longer than what is kept of it.',
  });
});
