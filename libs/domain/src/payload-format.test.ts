import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { buildPayload, PAYLOAD_FORMATS, payloadConflict, type PayloadEvent } from './payload-format.js';
import { parseRawJson } from './raw-json.js';

const CREATED_MS = Date.UTC(2024, 0, 15, 6, 50, 0, 999);

function event(data: string, given: Partial<PayloadEvent> = {}): PayloadEvent {
  return {
    publicId: 'evt_1',
    type: 'payment.confirmed',
    createdAtMs: CREATED_MS,
    createdAtText: null,
    data: Buffer.from(data),
    ...given,
  };
}

function keysOf(data: string): () => readonly string[] {
  const document = parseRawJson(Buffer.from(data));
  return () => document.members(document.root).map(({ key }) => key);
}

describe('bodies', () => {
  const data = '{ "n": 1.10,"n":1e400, "__proto__":{"\\ud800":"é"} }';

  test.each([
    [
      'envelope',
      `{"id":"evt_1","type":"payment.confirmed","created_at":"2024-01-15T06:50:00Z","data":${data}}`,
    ],
    ['event-data', `{"event":"payment.confirmed","data":${data}}`],
    ['event-object', `{"event":"payment.confirmed","timestamp":1705301400,"payment":${data}}`],
    [
      'flat',
      '{"type":"payment.confirmed","timestamp":"2024-01-15T06:50:00Z", "n": 1.10,"n":1e400, "__proto__":{"\\ud800":"é"} }',
    ],
    ['raw', data],
  ] as const)('%s', (format, expected) => {
    expect(buildPayload(format, event(data)).toString()).toBe(expected);
  });

  test.each(['{}', '{ }', '{\r\n\t }'])('flat of %j has no comma after the timestamp', (empty) => {
    expect(buildPayload('flat', event(empty)).toString()).toBe(
      '{"type":"payment.confirmed","timestamp":"2024-01-15T06:50:00Z"}',
    );
  });

  test("a producer's own created_at is kept as its text, the timestamp is its second", () => {
    const given = { createdAtText: '2024-01-15T12:20:00.5000+05:30', createdAtMs: CREATED_MS };
    expect(buildPayload('envelope', event('{}', given)).toString()).toContain(
      '"created_at":"2024-01-15T12:20:00.5000+05:30"',
    );
    expect(buildPayload('flat', event('{}', given)).toString()).toContain(
      '"timestamp":"2024-01-15T12:20:00.5000+05:30"',
    );
    expect(buildPayload('event-object', event('{}', given)).toString()).toContain('"timestamp":1705301400,');
  });

  test('a type of one segment names its own object', () => {
    expect(buildPayload('event-object', event('{}', { type: 'refund' })).toString()).toContain('"refund":{}');
  });

  test('data that is a view of a larger buffer is cut at its own ends', () => {
    const view = new Uint8Array(Buffer.from('xx{"a":1}yy')).subarray(2, 9);
    expect(buildPayload('raw', event('', { data: view })).toString()).toBe('{"a":1}');
    expect(buildPayload('event-data', event('', { data: view })).toString()).toContain('"data":{"a":1}}');
  });
});

describe('conflicts', () => {
  test.each([
    ['flat', 'a', '{"type":1}', true],
    ['flat', 'a', '{"timestamp":1}', true],
    ['flat', 'a', '{"t\\u0079pe":1}', true],
    ['flat', 'a', '{"Type":1,"event":2,"nested":{"type":3}}', false],
    ['flat', 'type', '{}', false],
    ['event-object', 'event', '{}', true],
    ['event-object', 'event.created', '{}', true],
    ['event-object', 'timestamp.x', '{}', true],
    ['event-object', 'events.created', '{"event":1,"timestamp":2}', false],
    ['envelope', 'event.x', '{"type":1,"id":2}', false],
    ['event-data', 'event', '{"event":1}', false],
    ['raw', 'timestamp', '{"type":1}', false],
  ] as const)('%s, %s, %s: %p', (format, type, data, expected) => {
    expect(payloadConflict(format, type, keysOf(data))).toBe(expected);
  });

  test('only flat looks at the keys', () => {
    const mustNotBeAsked = (): never => {
      throw new Error('asked for keys');
    };
    for (const format of PAYLOAD_FORMATS.filter((name) => name !== 'flat')) {
      expect(payloadConflict(format, 'payment.x', mustNotBeAsked)).toBe(false);
    }
  });
});

test('whatever has no conflict is one JSON text, without a repeated key of ours, with the bytes of data in it', () => {
  const data = fc
    .dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 }), { noNullPrototype: true })
    .map((value) => JSON.stringify(value, null, 1));
  const type = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,8}){0,2}$/);
  fc.assert(
    fc.property(fc.constantFrom(...PAYLOAD_FORMATS), type, data, (format, name, text) => {
      fc.pre(!payloadConflict(format, name, keysOf(text)));
      const body = buildPayload(format, event(text, { type: name }));
      const document = parseRawJson(body);
      expect(document.repeatedKey(document.root)).toBeNull();
      if (text !== '{}') expect(body.includes(format === 'flat' ? text.slice(1, -1) : text)).toBe(true);
    }),
  );
});
