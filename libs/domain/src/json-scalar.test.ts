import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonicalText, ScalarReader } from './json-scalar.js';
import { parseRawJson } from './raw-json.js';

describe('equal scalars', () => {
  test.each([
    ['1.1', '1.10', '11e-1', '0.11E+1', '110E-2'],
    ['0', '-0', '0.000', '0e9', '-0.0E-7', '0e99999999999999999999'],
    ['100', '1e2', '1E+02', '100.0'],
    ['12345678901234567890', '12345678901234567890.0', '1234567890123456789e1'],
    ['1e400', '10e399'],
    ['"a/b"', '"a\\/b"', '"\\u0061/b"'],
    ['"\\ud800"', '"\\uD800"'],
    ['"💸"', '"\\ud83d\\udcb8"'],
    ['true', ' true '],
    ['null', 'null'],
  ])('%s', (...texts) => {
    expect(new Set(texts.map(canonicalText)).size).toBe(1);
    expect(canonicalText(texts[0])).not.toBeNull();
  });
});

test('scalars that are not equal', () => {
  const texts = [
    ...['1', '-1', '10', '0', '"1"', '1.1', '"1.1"', '1.1000000000000000000001', '1e-1', '1e1000000'],
    ...['9007199254740992', '9007199254740993', 'true', 'false', 'null', '"true"', '""', '"null"', '"0"'],
  ];
  expect(new Set(texts.map(canonicalText)).size).toBe(texts.length);
});

test.each(['{}', '[]', '[1]', '1e9999999999999999', '1e-9999999999999999'])('%s equals nothing', (text) => {
  expect(canonicalText(text)).toBeNull();
});

test('a number of a quarter of a million digits is read in no time', () => {
  const zeros = '0'.repeat(250_000);
  const startedMs = performance.now();
  expect(canonicalText(`1${zeros}`)).toBe(canonicalText('1e250000'));
  expect(canonicalText(`0.${zeros}1`)).toBe(canonicalText('1e-250001'));
  expect(canonicalText(`${'10'.repeat(125_000)}1`)).not.toBeNull();
  expect(canonicalText(`1e${'9'.repeat(250_000)}`)).toBeNull();
  expect(performance.now() - startedMs).toBeLessThan(1_000);
});

test('doubles are equal exactly when JavaScript says so', () => {
  const double = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(double, double, (a, b) => {
      const same = canonicalText(JSON.stringify(a)) === canonicalText(JSON.stringify(b));
      expect(same).toBe(a === b);
      expect(canonicalText(a.toExponential())).toBe(canonicalText(JSON.stringify(a)));
    }),
  );
});

describe('by pointer', () => {
  const json = '{"a":{"b":[1,{"c":"x"}],"b":[2,{"c":null}]},"":5,"01":6,"__proto__":{"p":true},"n":{"0":7}}';
  const reader = new ScalarReader(parseRawJson(Buffer.from(json)));
  test.each<[string[], string | null]>([
    [['a', 'b', '0'], '2'],
    [['a', 'b', '1', 'c'], 'null'],
    [['a', 'b', '1', 'd'], null],
    [['a', 'b'], null],
    [['a'], null],
    [[], null],
    [[''], '5'],
    [['01'], '6'],
    [['__proto__', 'p'], 'true'],
    [['toString'], null],
    [['n', '0'], '7'],
    [['a', 'b', '00'], null],
    [['a', 'b', '-'], null],
    [['a', 'b', '2'], null],
    [['a', 'b', '0', 'x'], null],
    [['a', 'b', 'length'], null],
  ])('%j', (tokens, text) => {
    expect(reader.at(tokens)).toBe(text === null ? null : canonicalText(text));
  });
});
