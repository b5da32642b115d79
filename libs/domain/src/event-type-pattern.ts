import { isOperationalEventType, type OperationalEventType } from './operational-event.js';

/** Long enough for any naming scheme, short enough to index. */
export const EVENT_TYPE_LENGTH_MAX = 128;

const EVENT_TYPE = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const EVERYTHING = '*';
const ANY_BELOW = '.*';

/** The patterns that match an operational type; for the operator's own endpoints `*` does, because they get nothing else. */
export function patternsOfOperational(type: OperationalEventType, isOperator: boolean): string[] {
  const [family] = type.split('.', 1);
  return [type, `${family}${ANY_BELOW}`, ...(isOperator ? [EVERYTHING] : [])];
}

/** True for segments of `A–Z a–z 0–9 _ -` joined by single dots, at most 128 characters. */
export function isEventType(text: string): boolean {
  return text.length <= EVENT_TYPE_LENGTH_MAX && EVENT_TYPE.test(text);
}

/** True for an event type, an event type followed by `.*`, or `*`. */
export function isEventTypePattern(text: string): boolean {
  if (text === EVERYTHING) return true;
  if (text.length > EVENT_TYPE_LENGTH_MAX) return false;
  return isEventType(text.endsWith(ANY_BELOW) ? text.slice(0, -ANY_BELOW.length) : text);
}

/**
 * True when any of the patterns matches: `*` matches every type but the operational ones, which have to be asked for,
 * `payment.*` every type with one or more further segments (not `payment` itself), anything else itself only. Case
 * counts.
 */
export function matchesEventType(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => {
    if (pattern === type) return true;
    if (pattern === EVERYTHING) return !isOperationalEventType(type);
    return pattern.endsWith(ANY_BELOW) && type.startsWith(pattern.slice(0, -1));
  });
}
