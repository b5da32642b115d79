import { expect, test } from '@jest/globals';
import { ScalarReader } from './json-scalar.js';
import { type FilterCondition, payloadFilter } from './payload-filter.js';
import { parseRawJson } from './raw-json.js';

const DATA =
  '{"currency":"GHS","amount":1.10,"id":9007199254740993,"ref":null,"lines":[{"sku":"a"}],"ok":false}';

function matches(conditions: readonly FilterCondition[], data = DATA): boolean {
  return payloadFilter(conditions)(new ScalarReader(parseRawJson(Buffer.from(data))));
}

test.each<[boolean, readonly FilterCondition[]]>([
  [true, []],
  [true, [{ pointer: '/currency', equals: '"GHS"' }]],
  [false, [{ pointer: '/currency', equals: '"ghs"' }]],
  [true, [{ pointer: '/currency', in: ['"NGN"', '"GHS"'] }]],
  [false, [{ pointer: '/currency', in: ['"NGN"'] }]],
  [false, [{ pointer: '/currency', in: [] }]],
  [true, [{ pointer: '/amount', equals: '1.1' }]],
  [false, [{ pointer: '/amount', equals: '"1.10"' }]],
  [true, [{ pointer: '/id', equals: '9007199254740993' }]],
  [false, [{ pointer: '/id', equals: '9007199254740992' }]],
  [true, [{ pointer: '/ref', equals: 'null' }]],
  [false, [{ pointer: '/nothing', equals: 'null' }]],
  [true, [{ pointer: '/ok', equals: 'false' }]],
  [true, [{ pointer: '/lines/0/sku', equals: '"a"' }]],
  [false, [{ pointer: '/lines/0', equals: '"a"' }]],
  [
    true,
    [
      { pointer: '/currency', equals: '"GHS"' },
      { pointer: '/ok', equals: 'false' },
    ],
  ],
  [
    false,
    [
      { pointer: '/currency', equals: '"GHS"' },
      { pointer: '/ok', equals: 'true' },
    ],
  ],
])('%p: %j', (expected, conditions) => {
  expect(matches(conditions)).toBe(expected);
});

test('of repeated members the last one counts', () => {
  expect(matches([{ pointer: '/a', equals: '2' }], '{"a":1,"a":2}')).toBe(true);
  expect(matches([{ pointer: '/a', equals: '1' }], '{"a":1,"a":2}')).toBe(false);
});

test('a pointer that is none is refused', () => {
  expect(() => payloadFilter([{ pointer: 'currency', equals: '1' }])).toThrow(RangeError);
});
