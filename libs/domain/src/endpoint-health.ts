import { BREAKER } from './breaker.js';

/**
 * How an endpoint fares, as one word, the first of these that fits:
 *
 * - `suspended`: its breaker is open; nothing is sent but a probe now and then, and nothing is charged or dropped
 * - `recovering`: its breaker has closed again a moment ago; what waited is sent slowly at first
 * - `failing`: the latest attempt failed
 * - `slow`: its attempts take so long that its deliveries wait in the slow lane
 * - `healthy`: the latest attempt succeeded
 * - `idle`: no attempt has ended yet
 *
 * What holds deliveries back comes before what they are likely to come to. Whether somebody paused or disabled the
 * endpoint is no matter of health.
 */
export const HEALTH_STATES = ['suspended', 'recovering', 'failing', 'slow', 'healthy', 'idle'] as const;
export type HealthState = (typeof HEALTH_STATES)[number];

/** What an endpoint's gate has seen of it. */
export interface HealthEvidence {
  /** Attempts that failed since the last success. */
  readonly consecutiveFailures: number;
  readonly lastSuccessAt: Date | null;
  readonly lastFailureAt: Date | null;
  readonly lane: 'fast' | 'slow';
  readonly breakerState: 'closed' | 'open' | 'draining';
  /** Null: it has been closed all the time. */
  readonly breakerChangedAt: Date | null;
}

/** What is known of an endpoint that nothing was sent to. */
export const NO_EVIDENCE: HealthEvidence = {
  consecutiveFailures: 0,
  lastSuccessAt: null,
  lastFailureAt: null,
  lane: 'fast',
  breakerState: 'closed',
  breakerChangedAt: null,
};

/** @param nowMs Unix milliseconds, on the clock that the evidence was written by */
export function healthState(evidence: HealthEvidence, nowMs: number): HealthState {
  if (evidence.breakerState === 'open') return 'suspended';
  if (isDraining(evidence, nowMs)) return 'recovering';
  if (evidence.consecutiveFailures > 0) return 'failing';
  if (evidence.lane === 'slow') return 'slow';
  return evidence.lastSuccessAt === null && evidence.lastFailureAt === null ? 'idle' : 'healthy';
}

/** The gate lets everything through once the drain's time is up; its row says so only after the next attempt. */
function isDraining({ breakerState, breakerChangedAt }: HealthEvidence, nowMs: number): boolean {
  if (breakerState !== 'draining' || breakerChangedAt === null) return false;
  return nowMs < breakerChangedAt.getTime() + BREAKER.drainSeconds * 1_000;
}
