import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import {
  isEventType,
  isEventTypePattern,
  matchesEventType,
  patternsOfOperational,
} from './event-type-pattern.js';
import { OPERATIONAL_EVENT_TYPES } from './operational-event.js';

const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/);
const eventType = fc.array(segment, { minLength: 1, maxLength: 6 }).map((segments) => segments.join('.'));

test.each([
  'payment',
  'payment.success',
  'a.b.c.d',
  'payment_intent.pending-approval',
  '0.1',
  '-',
  'x'.repeat(128),
])('%s is an event type', (text) => {
  expect(isEventType(text)).toBe(true);
  expect(isEventTypePattern(text)).toBe(true);
});

test.each([
  '',
  '.',
  'a.',
  '.a',
  'a..b',
  'a b',
  'é',
  'a.b\n',
  'payment/success',
  '__proto__.é',
  'x'.repeat(129),
])('%j is neither type nor pattern', (text) => {
  expect(isEventType(text)).toBe(false);
  expect(isEventTypePattern(text)).toBe(false);
});

test.each(['*', 'payment.*', 'a.b.*'])('%s is a pattern and no type', (text) => {
  expect(isEventTypePattern(text)).toBe(true);
  expect(isEventType(text)).toBe(false);
});

test.each(['**', '.*', '*.*', '*.success', 'a.*.b', 'a*', 'a.b*', 'a..*', 'a.*.*', `${'x'.repeat(127)}.*`])(
  '%s is not a pattern',
  (text) => {
    expect(isEventTypePattern(text)).toBe(false);
  },
);

describe('matching', () => {
  test.each([
    [['payment.success'], 'payment.success', true],
    [['payment.success'], 'payment.success.late', false],
    [['payment.success'], 'Payment.success', false],
    [['payment.*'], 'payment.success', true],
    [['payment.*'], 'payment.success.late', true],
    [['payment.*'], 'payment', false],
    [['payment.*'], 'payments.success', false],
    [['payment.*'], 'payment_intent.failed', false],
    [['a.b.*'], 'a.c.d', false],
    [['*'], 'anything', true],
    [['*'], 'webhook.opened', true],
    // Operational events have to be asked for.
    [['*'], 'webhook.failing', false],
    [['*', 'webhook.*'], 'webhook.failing', true],
    [['delivery.exhausted'], 'delivery.exhausted', true],
    [['refund.processed', 'payment.*'], 'payment.failed', true],
    [[], 'payment.failed', false],
  ])('%j and %s: %p', (patterns, type, expected) => {
    expect(matchesEventType(patterns, type)).toBe(expected);
  });

  test.each(OPERATIONAL_EVENT_TYPES)('the patterns of %s are those that match it', (type) => {
    const patterns = patternsOfOperational(type, false);
    expect(patterns.map((pattern) => matchesEventType([pattern], type))).toEqual([true, true]);
    expect(patternsOfOperational(type, true)).toEqual([...patterns, '*']);
  });

  test('a type matches itself, *, and each of its proper beginnings with .*', () => {
    fc.assert(
      fc.property(eventType, eventType, (type, other) => {
        expect(matchesEventType([type], type)).toBe(true);
        expect(matchesEventType(['*'], type)).toBe(true);
        expect(matchesEventType([`${type}.*`], `${type}.${other}`)).toBe(true);
        expect(matchesEventType([`${type}.*`], type)).toBe(false);
        expect(matchesEventType([`${type}.*`], `${type}${other}`)).toBe(false);
        expect(matchesEventType([type], other)).toBe(type === other);
      }),
    );
  });
});
