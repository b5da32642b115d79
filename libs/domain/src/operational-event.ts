/**
 * What Posthorn itself has to tell: an endpoint that begins to fail, recovers or is disabled, a delivery whose schedule is
 * spent. Their deliveries are like any others, but never lead to an operational event again.
 */
export const OPERATIONAL_EVENT_TYPES = [
  'webhook.failing',
  'webhook.recovered',
  'webhook.disabled',
  'delivery.exhausted',
] as const;
export type OperationalEventType = (typeof OPERATIONAL_EVENT_TYPES)[number];

export function isOperationalEventType(type: string): type is OperationalEventType {
  return OPERATIONAL_EVENT_TYPES.some((operational) => operational === type);
}

/**
 * `webhook.failing` comes at most once in this time for an endpoint, and `webhook.recovered` only after one: an endpoint
 * that fails and succeeds in turn is told of now and then, not at every turn.
 */
export const FAILING_TOLD_AGAIN_MINUTES = 15;

/**
 * An endpoint that is disabled for failing has failed at least so often: a week of two deliveries is not evidence enough
 * to take an endpoint away from its merchant.
 */
export const DISABLE_ATTEMPTS_MIN = 10;
