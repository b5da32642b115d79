import { expect, test } from '@jest/globals';
import { parseJsonPointer } from './json-pointer.js';

// RFC 6901, section 5, and what its section 3 rules out.
test.each<[string, readonly string[] | null]>([
  ['', []],
  ['/', ['']],
  ['/foo/0', ['foo', '0']],
  ['/a~1b', ['a/b']],
  ['/m~0n', ['m~n']],
  ['/~01', ['~1']],
  ['/ /k"l', [' ', 'k"l']],
  ['//', ['', '']],
  ['foo', null],
  ['#/foo', null],
  ['/a~', null],
  ['/a~2', null],
  ['/~/b', null],
])('%j', (text, tokens) => {
  expect(parseJsonPointer(text)).toEqual(tokens);
});
