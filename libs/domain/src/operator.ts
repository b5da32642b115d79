/**
 * Owner of what belongs to the operator and to no merchant, such as endpoints that hear of every merchant's. On the wire
 * it is `merchant_id: null`; the id itself is never given out, and never taken from a client.
 */
export const OPERATOR_ID = '00000000-0000-0000-0000-000000000000';
