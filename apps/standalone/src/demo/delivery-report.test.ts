import { expect, test } from '@jest/globals';
import { problemsOf, type ReportRow } from './delivery-report.js';

const data = '{"amount":100.00}';

function row(changes: {
  delivery?: Partial<ReportRow['delivery']>;
  receipt?: Partial<ReportRow['receipts'][number]>;
  receipts?: ReportRow['receipts'];
  refusals?: number;
}): ReportRow {
  const receipt = {
    path: '/p',
    deliveryId: 'dlv_1',
    signature: 'verified' as const,
    body: `{"data":${data}}`,
  };
  const endpoint = { path: '/p', events: ['*'], refusals: changes.refusals ?? 0 };
  return {
    merchant: {
      name: 'm',
      dialect: 'posthorn',
      endpoints: [endpoint],
      events: [{ type: 'payment.success', data }],
    },
    endpoint,
    delivery: {
      id: 'dlv_1',
      webhook_id: 'wh_1',
      event_type: 'payment.success',
      status: 'succeeded',
      attempt_count: 1,
      last_attempt: { outcome: 'succeeded', status_code: 200, duration_ms: 1 },
      ...changes.delivery,
    },
    receipts: changes.receipts ?? [{ ...receipt, ...changes.receipt }],
  };
}

test('a delivery as it should be has no problem', () => {
  expect(problemsOf(row({}))).toEqual([]);
  expect(problemsOf(row({ receipt: { signature: 'unsigned' } }))).toEqual([]);
});

test.each([
  ['not delivered', row({ delivery: { status: 'failed' } }), 'is failed and should have succeeded'],
  ['too many attempts', row({ delivery: { attempt_count: 2 } }), 'took 2 attempts and should have taken 1'],
  ['too few attempts', row({ refusals: 2 }), 'took 1 attempts and should have taken 3'],
  ['never arrived', row({ receipts: [] }), 'has 1 attempts in the log, and 0 arrived'],
  ['wrong signature', row({ receipt: { signature: 'wrong' } }), 'has a signature that does not fit'],
  [
    'a number that was printed again',
    row({ receipt: { body: '{"data":{"amount":100}}' } }),
    'did not arrive with the bytes of data that were sent',
  ],
])('%s', (_, found, problem) => {
  expect(problemsOf(found)).toContain(problem);
});
