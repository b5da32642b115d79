import { describe, expect, test } from '@jest/globals';
import { compileEventTypeSchema, eventTypeSchemaProblems } from './event-type-schema.js';

function check(schema: object, data: string): readonly { pointer: string; message: string }[] {
  return compileEventTypeSchema(Buffer.from(JSON.stringify(schema)))(Buffer.from(data));
}

describe('what is wrong with a schema', () => {
  test.each<[name: string, schema: Readonly<Record<string, unknown>>, pointer: string]>([
    ['a type that is none', { type: 'strnig' }, '/type'],
    ['properties that are a list', { properties: [] }, '/properties'],
    ['a bound that is a text', { properties: { a: { maximum: '1' } } }, '/properties/a/maximum'],
    ['a look-ahead', { properties: { a: { pattern: '(?=a)b' } } }, '/properties/a/pattern'],
    ['a look-behind', { pattern: '(?<=a)b' }, '/pattern'],
    ['a back-reference', { items: { pattern: '(a)\\1' } }, '/items/pattern'],
    ['no pattern at all', { pattern: '(' }, '/pattern'],
    ['a pattern that grows', { pattern: '(?:a{0,100}){0,10}' }, '/pattern'],
    ['a pattern of a name', { patternProperties: { '^(?!x)': {} } }, '/patternProperties/^(?!x)'],
    ['a long pattern', { pattern: 'a'.repeat(1_001) }, '/pattern'],
    ['a remote reference', { $ref: 'https://example.com/a.json' }, '/$ref'],
    ['an unknown keyword', { nullable: true }, '/nullable'],
    ['a condition without a consequence', { if: {} }, ''],
  ])('%s', (_, schema, pointer) => {
    expect(eventTypeSchemaProblems(schema)).toEqual([{ pointer, message: expect.any(String) }]);
  });

  test.each<[name: string, schema: Readonly<Record<string, unknown>>]>([
    ['nothing', {}],
    [
      'a name and a draft',
      { $id: 'https://example.com/a.json', $schema: 'https://json-schema.org/draft/2020-12/schema' },
    ],
    ['a format that nobody knows', { properties: { a: { format: 'iban' } } }],
    ['ECMAScript escapes', { pattern: '^\\u0041\\d{4}\\/\\p{L}+$' }],
    ['definitions', { $ref: '#/$defs/a%20b', $defs: { 'a b': { type: ['object', 'null'] } } }],
    ['definitions as they were', { $ref: '#/definitions/a', definitions: { a: {} } }],
    [
      'every kind of applicator',
      {
        if: {},
        then: {},
        else: {},
        not: false,
        contains: {},
        propertyNames: {},
        unevaluatedItems: false,
        dependentSchemas: { a: {} },
      },
    ],
  ])('not with %s', (_, schema) => {
    expect(eventTypeSchemaProblems(schema)).toEqual([]);
    expect(() => compileEventTypeSchema(Buffer.from(JSON.stringify(schema)))).not.toThrow();
  });

  test("the same name twice is nobody's conflict", () => {
    const schema = { $id: 'https://example.com/a.json', type: 'object' };
    for (let round = 0; round < 3; round++) {
      expect(eventTypeSchemaProblems(schema)).toEqual([]);
      expect(check(schema, '{}')).toEqual([]);
    }
  });
});

describe('what is wrong with data', () => {
  test.each<[name: string, schema: object, data: string, problems: [pointer: string, message: string][]]>([
    ['a wrong type', { properties: { a: { type: 'string' } } }, '{"a":1}', [['/a', 'must be string']]],
    ['a missing member', { required: ['a/b'] }, '{}', [['/a~1b', 'is required']]],
    [
      'two at once',
      { required: ['a', 'b'] },
      '{}',
      [
        ['/a', 'is required'],
        ['/b', 'is required'],
      ],
    ],
    ['one too many', { additionalProperties: false }, '{"x":1}', [['/x', 'is not allowed here']]],
    [
      'within an array',
      { properties: { a: { items: { enum: [1] } } } },
      '{"a":[1,2]}',
      [['/a/1', 'must be equal to one of the allowed values']],
    ],
    [
      'a pattern',
      { properties: { a: { pattern: '^[A-Z]{3}$' } } },
      '{"a":"usd"}',
      [['/a', 'must match pattern "^[A-Z]{3}$"']],
    ],
    [
      'a member that only the prototype has',
      { required: ['constructor', 'toString'] },
      '{}',
      [
        ['/constructor', 'is required'],
        ['/toString', 'is required'],
      ],
    ],
    [
      'a number past 2^53 is read as a double',
      { properties: { a: { const: 9007199254740992 } } },
      '{"a":9007199254740993}',
      [],
    ],
    ['the last of repeated keys counts', { properties: { a: { type: 'string' } } }, '{"a":1,"a":"x"}', []],
    ['an unknown format says nothing', { properties: { a: { format: 'email' } } }, '{"a":"x"}', []],
  ])('%s', (_, schema, data, problems) => {
    expect(check(schema, data).map(({ pointer, message }) => [pointer, message])).toEqual(problems);
  });

  test('no message has a value in it', () => {
    const schema = {
      properties: {
        a: { enum: ['x'] },
        b: { maximum: 1 },
        c: { const: 1 },
        d: { anyOf: [{ type: 'null' }] },
      },
    };
    const secret = '4111111111111111';
    const problems = check(schema, `{"a":"${secret}","b":${secret},"c":"${secret}","d":"${secret}"}`);
    expect(problems.length).toBeGreaterThanOrEqual(4);
    expect(JSON.stringify(problems)).not.toContain(secret);
  });

  test('patterns that would ruin a backtracking engine, on the largest data', () => {
    const json = JSON.stringify({ a: 'a'.repeat(262_000) });
    const startedMs = performance.now();
    expect(check({ properties: { a: { pattern: '^(a+)+$|^(a|a)*b$' } } }, json)).toEqual([]);
    expect(check({ properties: { a: { pattern: '(x+x+)+y' } } }, json)).toHaveLength(1);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  test('a large document with ever so many problems names a few', () => {
    const json = JSON.stringify({ a: Array.from({ length: 4_000 }, () => 1) });
    expect(check({ properties: { a: { items: { type: 'string' } } } }, json)).toHaveLength(20);
  });
});
