import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { jsonPointerTo } from './json-pointer.js';
import { maskJson, REDACTED_JSON } from './redaction.js';

function masked(json: string, ...pointers: string[]): string {
  return Buffer.from(maskJson(Buffer.from(json), pointers)).toString();
}

describe('maskJson', () => {
  test.each<[name: string, json: string, pointers: string[], expected: string]>([
    ['a member', '{"a":1,"b":2}', ['/a'], '{"a":"[redacted]","b":2}'],
    [
      'white space and numbers around it stay',
      '{ "a" : "x" ,\n "n":1.10 }',
      ['/a'],
      '{ "a" : "[redacted]" ,\n "n":1.10 }',
    ],
    [
      'a deep one',
      '{"card":{"pan":"4111","cvc":[1,2]}}',
      ['/card/cvc'],
      '{"card":{"pan":"4111","cvc":"[redacted]"}}',
    ],
    ['a container goes whole', '{"card":{"pan":"4111"}}', ['/card'], '{"card":"[redacted]"}'],
    ['an element', '{"a":[1,{"b":2},3]}', ['/a/1/b', '/a/2'], '{"a":[1,{"b":"[redacted]"},"[redacted]"]}'],
    [
      'every one of a repeated key',
      '{"a":1,"a":{"b":2},"\\u0061":3}',
      ['/a'],
      '{"a":"[redacted]","a":"[redacted]","\\u0061":"[redacted]"}',
    ],
    [
      'within repeated containers',
      '{"a":{"b":1},"a":{"b":2}}',
      ['/a/b'],
      '{"a":{"b":"[redacted]"},"a":{"b":"[redacted]"}}',
    ],
    ['a pointer within another', '{"a":{"b":1}}', ['/a/b', '/a'], '{"a":"[redacted]"}'],
    [
      'escaped tokens',
      '{"a/b":1,"m~n":2,"":3}',
      ['/a~1b', '/m~0n', '/'],
      '{"a/b":"[redacted]","m~n":"[redacted]","":"[redacted]"}',
    ],
    ['01 is not an index', '{"a":[0,1]}', ['/a/01', '/a/-'], '{"a":[0,1]}'],
    ['nothing there', '{"a":1}', ['/b', '/a/b', '/a/0'], '{"a":1}'],
    ['__proto__', '{"__proto__":{"x":1}}', ['/__proto__/x'], '{"__proto__":{"x":"[redacted]"}}'],
    ['masked already', '{"a":"[redacted]"}', ['/a'], '{"a":"[redacted]"}'],
  ])('%s', (_, json, pointers, expected) => {
    expect(masked(json, ...pointers)).toBe(expected);
  });

  test('whatever the document: the values that are named go, and every other byte stays', () => {
    const document = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }), { minKeys: 1 });
    fc.assert(
      fc.property(
        document,
        fc.constantFrom(undefined, 1, '\t'),
        fc.array(fc.nat(), { maxLength: 8 }),
        (value, indent, picks) => {
          const json = JSON.stringify(value, null, indent);
          const all = pointersInto(JSON.parse(json));
          const chosen = picks.flatMap((pick) => all[pick % all.length] ?? []);
          const expected = JSON.stringify(replaced(JSON.parse(json), '', new Set(chosen)), null, indent);
          expect(masked(json, ...chosen)).toBe(expected);
        },
      ),
    );
  });

  test('a planted value is gone from wherever a pointer names it', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 6 }), (path) => {
        const pointer = path.reduce(jsonPointerTo, '');
        const json = path.reduceRight(
          (inner, key) => `{${JSON.stringify(key)}:${inner},"rest":1.10}`,
          '"4111111111111111"',
        );
        const result = masked(json, pointer);
        expect(result).not.toContain('4111111111111111');
        expect(result).toContain(REDACTED_JSON);
      }),
    );
  });
});

function pointersInto(value: unknown, at = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => {
    const pointer = jsonPointerTo(at, key);
    return [pointer, ...pointersInto(member, pointer)];
  });
}

function replaced(value: unknown, at: string, pointers: ReadonlySet<string>): unknown {
  if (pointers.has(at)) return '[redacted]';
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value))
    return value.map((item, index) => replaced(item, jsonPointerTo(at, index), pointers));
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, replaced(member, jsonPointerTo(at, key), pointers)]),
  );
}
