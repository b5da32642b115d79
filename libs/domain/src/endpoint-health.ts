/**
 * How an endpoint fares, judged by its attempts alone. `idle`: none has ended yet; `healthy`: the latest succeeded;
 * `failing`: the latest failed.
 */
export const HEALTH_STATES = ['idle', 'healthy', 'failing'] as const;
export type HealthState = (typeof HEALTH_STATES)[number];

export interface EndpointRecord {
  /** Attempts that failed since the last success. */
  readonly consecutiveFailures: number;
  readonly lastSuccessAt: Date | null;
  readonly lastFailureAt: Date | null;
}

export function healthState({
  consecutiveFailures,
  lastSuccessAt,
  lastFailureAt,
}: EndpointRecord): HealthState {
  if (lastSuccessAt === null && lastFailureAt === null) return 'idle';
  return consecutiveFailures > 0 ? 'failing' : 'healthy';
}
