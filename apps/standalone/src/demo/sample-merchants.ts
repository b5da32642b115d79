/** An endpoint of a sample merchant; what is left out follows its merchant. */
export interface SampleEndpoint {
  readonly path: string;
  readonly events: readonly string[];
  readonly dialect?: string;
  readonly signatures?: readonly { readonly scheme: string }[];
  /** How many requests it answers with 500 before it accepts. */
  readonly refusals?: number;
}

export interface SampleEvent {
  readonly type: string;
  /** The producer's own id and time, where it has them. */
  readonly id?: string;
  readonly createdAt?: string;
  /** JSON text and not a value: receivers must get exactly these bytes. */
  readonly data: string;
}

export interface SampleMerchant {
  readonly name: string;
  readonly dialect: string;
  readonly endpoints: readonly SampleEndpoint[];
  readonly events: readonly SampleEvent[];
}

/**
 * Two merchants with an endpoint in each dialect, and the events that the documentation of those wire formats gives as
 * examples. The amounts are the point: `100.00` and `"50.00"` arrive as they stand here.
 */
export const SAMPLE_MERCHANTS: readonly SampleMerchant[] = [
  {
    name: 'Ama Stores',
    dialect: 'posthorn',
    endpoints: [
      { path: '/posthorn', events: ['payment.*'] },
      { path: '/event-data', events: ['payment.success', 'payment.failed'], dialect: 'event-data' },
      { path: '/gateway', events: ['payment.confirmed'], dialect: 'gateway' },
      { path: '/transaction-status', events: ['transaction_status'], dialect: 'transaction-status' },
      { path: '/fapshi', events: ['payment.successful'], dialect: 'fapshi' },
    ],
    events: [
      {
        type: 'payment.success',
        data:
          '{"transaction_id":"123456789","amount":5000,"currency":"NGN","status":"success",' +
          '"customer":{"email":"customer@example.com","name":"John Doe"}}',
      },
      {
        type: 'payment.confirmed',
        data: '{"id":"pay_abc123","status":"CONFIRMED","amount":100.00,"tx_hash":"a1b2c3..."}',
      },
      {
        type: 'transaction_status',
        data:
          '{"reference_id":"ref123456","status":"SUCCESS","amount":"10000","currency":"UGX",' +
          '"sender_account":"GXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX","receiver_account":"256XXXXXXXXX",' +
          '"transaction_id":"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx","meta":"Payment processed successfully",' +
          '"client_id":"12345"}',
      },
      {
        type: 'payment.successful',
        data:
          '{"transId":"gV7TeJDMk9","status":"SUCCESSFUL","medium":"mobile money","serviceName":"Shop","amount":5000,' +
          '"revenue":4850.00,"payerName":"Ama","email":"ama@example.com","externalId":"order-17"}',
      },
    ],
  },
  {
    name: 'Kofi Payouts',
    dialect: 'fiatsend',
    endpoints: [
      { path: '/fiatsend', events: ['withdrawal.completed', 'withdrawal.failed'], refusals: 2 },
      { path: '/audit', events: ['*'], signatures: [{ scheme: 'timestamped' }] },
    ],
    events: [
      {
        type: 'withdrawal.completed',
        id: 'evt_3nRpK8wZqMvY',
        createdAt: '2026-04-02T05:01:20Z',
        data:
          '{"withdrawal_id":"wdl_9k2mX7pQrLzT","status":"completed","amount":"50.00","currency":"USDT",' +
          '"recipient_phone":"+233501234567","mobile_network":"MTN","ghs_amount":"764.50","reference_id":"payout-001"}',
      },
    ],
  },
];
