/** The size and shape of a usual event. */
export const USUAL_TYPE = 'withdrawal.completed';
export const USUAL_DATA = {
  withdrawal_id: 'wdl_9k2mX7pQrLzT',
  status: 'completed',
  amount: '50.00',
  currency: 'USDT',
  recipient_phone: '+233501234567',
  mobile_network: 'MTN',
  ghs_amount: '764.50',
  reference_id: 'payout-001',
};
