import { describe, expect, test } from '@jest/globals';
import { type JsonSchema, schemaProblems } from './json-schema.js';
import { breakingChanges } from './schema-compatibility.js';

const object = (properties: object, rest: object = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...rest,
});
const string = { type: 'string' };

describe('breaking: data that was allowed may now be refused', () => {
  test.each<[name: string, before: JsonSchema, after: JsonSchema, pointers: string[]]>([
    [
      'a new required member',
      object({ a: string }),
      object({ a: string }, { required: ['a'] }),
      ['/required'],
    ],
    ['a new member that is required', object({}), object({ a: string }, { required: ['a'] }), ['/required']],
    ['a removed enum value', { enum: ['a', 'b'] }, { enum: ['a'] }, ['/enum']],
    ['an enum where there was none', string, { type: 'string', enum: ['a'] }, ['/enum']],
    ['an enum that becomes a const', { enum: ['a', 'b'] }, { const: 'a' }, ['/const']],
    ['another const', { const: 1 }, { const: 2 }, ['/const']],
    ['another type', string, { type: 'number' }, ['/type']],
    ['a narrowed type', { type: 'number' }, { type: 'integer' }, ['/type']],
    ['one of two types gone', { type: ['string', 'null'] }, string, ['/type']],
    ['a type where there was none', {}, string, ['/type']],
    ['a type under anyOf gone', { anyOf: [string, { type: 'null' }] }, string, ['/type']],
    [
      'at depth',
      object({ a: object({ b: object({ c: string }) }) }),
      object({ a: object({ b: object({ c: { type: 'null' } }) }) }),
      ['/properties/a/properties/b/properties/c/type'],
    ],
    [
      'a member required at depth',
      object({ a: object({}) }),
      object({ a: object({}, { required: ['x'] }) }),
      ['/properties/a/required'],
    ],
    ['in items', { items: { enum: [1, 2] } }, { items: { enum: [1] } }, ['/items/enum']],
    [
      'in items of items of a property',
      object({ a: { items: { items: string } } }),
      object({ a: { items: { items: { type: 'null' } } } }),
      ['/properties/a/items/items/type'],
    ],
    [
      'in prefixItems',
      { prefixItems: [string] },
      { prefixItems: [{ type: 'null' }] },
      ['/prefixItems/0/type'],
    ],
    ['items that were free', {}, { items: string }, ['/items/type']],
    [
      'a prefix that falls under items',
      { prefixItems: [string] },
      { items: { type: 'null' } },
      ['/items/type', '/items/type'],
    ],
    [
      'in a definition',
      { $defs: { d: string }, properties: { a: { $ref: '#/$defs/d' } } },
      { $defs: { d: { type: 'null' } }, properties: { a: { $ref: '#/$defs/d' } } },
      ['/properties/a/type'],
    ],
    [
      'a definition instead of what it replaces',
      object({ a: string }),
      { ...(object({ a: { $ref: '#/$defs/d' } }) as object), $defs: { d: { type: 'null' } } },
      ['/properties/a/type'],
    ],
    [
      'beside a $ref',
      { $defs: { d: string }, $ref: '#/$defs/d' },
      { $defs: { d: string }, $ref: '#/$defs/d', maxLength: 3 },
      ['/maxLength'],
    ],
    [
      'no further members',
      object({ a: string }),
      object({ a: string }, { additionalProperties: false }),
      ['/additionalProperties'],
    ],
    [
      'a member gone that was the only one allowed',
      object({ a: string, b: string }, { additionalProperties: false }),
      object({ a: string }, { additionalProperties: false }),
      ['/properties/b'],
    ],
    [
      'the same with unevaluatedProperties',
      object({ a: string, b: string }, { unevaluatedProperties: false }),
      object({ a: string }, { unevaluatedProperties: false }),
      ['/properties/b'],
    ],
    [
      'further members of another type',
      object({}, { additionalProperties: string }),
      object({}, { additionalProperties: { type: 'null' } }),
      ['/additionalProperties/type'],
    ],
    [
      'a member named that had to be a string',
      object({}, { additionalProperties: string }),
      object({ a: { type: 'null' } }, { additionalProperties: string }),
      ['/properties/a/type'],
    ],
    ['a lower maximum', { maximum: 5 }, { maximum: 4 }, ['/maximum']],
    [
      'an exclusive maximum at the same place',
      { maximum: 5 },
      { exclusiveMaximum: 5 },
      ['/exclusiveMaximum'],
    ],
    ['a higher minimum', { minimum: 0 }, { minimum: 1 }, ['/minimum']],
    ['a minimum where there was none', {}, { minimum: 0 }, ['/minimum']],
    ['shorter', { maxLength: 5 }, { maxLength: 4 }, ['/maxLength']],
    ['longer', {}, { minLength: 1 }, ['/minLength']],
    ['fewer items', { maxItems: 5 }, { maxItems: 4 }, ['/maxItems']],
    ['more members', { minProperties: 1 }, { minProperties: 2 }, ['/minProperties']],
    ['another step', { multipleOf: 2 }, { multipleOf: 3 }, ['/multipleOf']],
    ['unique items', {}, { uniqueItems: true, maxItems: 5 }, ['/maxItems', '/uniqueItems']],
    ['another pattern', { pattern: '^a' }, { pattern: '^b' }, ['/pattern']],
    ['a pattern for names', {}, { patternProperties: { '^x': string } }, ['/patternProperties/^x/type']],
    ['not', {}, { not: string }, ['/not']],
    ['contains', {}, { contains: string }, ['/contains']],
    ['a condition', {}, { if: string, then: { maxLength: 1 } }, ['/if']],
    ['a branch of anyOf gone', { anyOf: [string, { type: 'null' }] }, { anyOf: [string] }, ['/anyOf']],
    ['a narrowed branch of anyOf', { anyOf: [{ maxLength: 5 }] }, { anyOf: [{ maxLength: 4 }] }, ['/anyOf']],
    ['a new branch of allOf', {}, { allOf: [string] }, ['/allOf/0/type']],
    ['a new branch of oneOf', { oneOf: [string] }, { oneOf: [string, {}] }, ['/oneOf']],
    ['dependent members', {}, { dependentRequired: { a: ['b'] } }, ['/dependentRequired/a']],
    ['property names', {}, { propertyNames: { maxLength: 3 } }, ['/propertyNames/maxLength']],
    ['nothing at all', {}, false, ['']],
    ['nothing at a member', object({ a: string }), object({ a: false }), ['/properties/a']],
    [
      'a member named __proto__',
      JSON.parse('{"properties":{"__proto__":{"type":"string"}}}') as JsonSchema,
      JSON.parse('{"properties":{"__proto__":{"type":"null"}}}') as JsonSchema,
      ['/properties/__proto__/type'],
    ],
  ])('%s', (_, before, after, pointers) => {
    expect(schemaProblems(before)).toEqual([]);
    expect(schemaProblems(after)).toEqual([]);
    expect(breakingChanges(before, after).map(({ pointer }) => pointer)).toEqual(pointers);
    expect(breakingChanges(after, after)).toEqual([]);
    expect(breakingChanges(before, before)).toEqual([]);
  });
});

describe('not breaking', () => {
  test.each<[name: string, before: JsonSchema, after: JsonSchema]>([
    [
      'the same in another order',
      { type: 'object', required: ['a', 'b'] },
      { required: ['b', 'a'], type: 'object' },
    ],
    ['annotations', { title: 'a', format: 'email', default: 1 }, { description: 'b', examples: [1] }],
    ['a new optional member', object({ a: string }), object({ a: string, b: { type: 'integer' } })],
    [
      'a new optional member where others are refused',
      object({}, { additionalProperties: false }),
      object({ b: string }, { additionalProperties: false }),
    ],
    ['a member that is no longer required', object({}, { required: ['a'] }), object({})],
    ['a member gone', object({ a: string }), object({})],
    ['a new enum value', { enum: ['a'] }, { enum: ['b', 'a'] }],
    ['an enum without the type that it implies', { enum: ['a'] }, { type: 'string', enum: ['a', 'b'] }],
    ['a const that becomes an enum', { const: { x: 1 } }, { enum: [2, { x: 1 }] }],
    ['no enum any more', { type: 'string', enum: ['a'] }, string],
    ['a wider type', { type: 'integer' }, { type: 'number' }],
    ['one type more', string, { type: ['null', 'string'] }],
    ['types instead of anyOf', { anyOf: [string, { type: 'null' }] }, { type: ['string', 'null'] }],
    ['a higher maximum', { maximum: 5 }, { maximum: 6 }],
    ['an exclusive maximum that becomes inclusive', { exclusiveMaximum: 5 }, { maximum: 5 }],
    ['a lower minimum', { minimum: 1 }, { exclusiveMinimum: 0 }],
    ['a finer step', { multipleOf: 4 }, { multipleOf: 2 }],
    ['looser limits', { maxLength: 4, minItems: 2 }, { maxLength: 5, minItems: 1 }],
    ['a pattern gone', { pattern: 'a' }, {}],
    [
      'a $ref for what it names',
      object({ a: string }),
      { ...(object({ a: { $ref: '#/$defs/d' } }) as object), $defs: { d: string } },
    ],
    [
      'a definition renamed',
      { $ref: '#/$defs/a', $defs: { a: string } },
      { $ref: '#/$defs/b', $defs: { b: string } },
    ],
    ['a definition that nothing uses', {}, { $defs: { a: string } }],
    ['one branch of anyOf more', { anyOf: [string] }, { anyOf: [{ type: 'null' }, string] }],
    ['anyOf around what it was', string, { anyOf: [string, { type: 'null' }] }],
    ['oneOf in another order', { oneOf: [string, { type: 'null' }] }, { oneOf: [{ type: 'null' }, string] }],
    ['allOf around what it was', string, { allOf: [string] }],
    ['a branch of allOf gone', { allOf: [string, { maxLength: 1 }] }, { allOf: [string] }],
    [
      'further members allowed',
      object({}, { additionalProperties: false }),
      object({}, { additionalProperties: true }),
    ],
    ['from nothing', false, string],
    ['to everything', string, true],
  ])('%s', (_, before, after) => {
    expect(schemaProblems(before)).toEqual([]);
    expect(schemaProblems(after)).toEqual([]);
    expect(breakingChanges(before, after)).toEqual([]);
  });
});

describe('what a schema must not have', () => {
  const chain = Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [
      `d${index}`,
      index === 19
        ? string
        : { allOf: [{ $ref: `#/$defs/d${index + 1}` }, { $ref: `#/$defs/d${index + 1}` }] },
    ]),
  );
  test.each<[name: string, schema: JsonSchema, pointer: string]>([
    ['an unknown keyword', { properties: { a: { nullable: true } } }, '/properties/a/nullable'],
    ['a remote $ref', { items: { $ref: 'https://example.com/x.json' } }, '/items/$ref'],
    ['a file', { $ref: 'file:///etc/passwd' }, '/$ref'],
    ['a relative one', { $ref: 'other.json#/a' }, '/$ref'],
    ['an anchor', { $ref: '#name' }, '/$ref'],
    ['a $ref to what is no schema', { required: ['a'], $ref: '#/required' }, '/$ref'],
    ['a $ref to nothing', { $ref: '#/$defs/x' }, '/$ref'],
    ['$dynamicRef', { $dynamicRef: '#x' }, '/$dynamicRef'],
    ['$id within', { items: { $id: 'x' } }, '/items/$id'],
    ['another draft', { $schema: 'http://json-schema.org/draft-07/schema#' }, '/$schema'],
    ['itself', { properties: { a: { $ref: '#' } } }, ''],
    [
      'a circle',
      {
        $ref: '#/$defs/a',
        $defs: { a: { items: { $ref: '#/$defs/b' } }, b: { not: { $ref: '#/$defs/a' } } },
      },
      '/$defs/a',
    ],
    ['unique items without a bound', { uniqueItems: true }, '/uniqueItems'],
    ['ever more of itself by $ref', { $ref: '#/$defs/d0', $defs: chain }, ''],
    ['too many', { allOf: Array.from({ length: 1_000 }, () => ({})) }, ''],
  ])('%s', (_, schema, pointer) => {
    expect(schemaProblems(schema)).toEqual([{ pointer, message: expect.any(String) }]);
  });
});
