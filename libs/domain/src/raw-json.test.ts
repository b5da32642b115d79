import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { type JsonDocument, JsonSyntaxError, parseRawJson } from './raw-json.js';

const CORPUS = new URL('../../../test/corpora/json-test-suite/test_parsing/', import.meta.url);

/** What the suite leaves to the implementation: any number and any escape is kept, only UTF-8 without a mark is read. */
const IMPLEMENTATION_DEFINED: Readonly<Record<string, 'accepted' | 'refused'>> = {
  'i_number_double_huge_neg_exp.json': 'accepted',
  'i_number_huge_exp.json': 'accepted',
  'i_number_neg_int_huge_exp.json': 'accepted',
  'i_number_pos_double_huge_exp.json': 'accepted',
  'i_number_real_neg_overflow.json': 'accepted',
  'i_number_real_pos_overflow.json': 'accepted',
  'i_number_real_underflow.json': 'accepted',
  'i_number_too_big_neg_int.json': 'accepted',
  'i_number_too_big_pos_int.json': 'accepted',
  'i_number_very_big_negative_int.json': 'accepted',
  'i_object_key_lone_2nd_surrogate.json': 'accepted',
  'i_string_1st_surrogate_but_2nd_missing.json': 'accepted',
  'i_string_1st_valid_surrogate_2nd_invalid.json': 'accepted',
  'i_string_UTF-16LE_with_BOM.json': 'refused',
  'i_string_UTF-8_invalid_sequence.json': 'refused',
  'i_string_UTF8_surrogate_U+D800.json': 'refused',
  'i_string_incomplete_surrogate_and_escape_valid.json': 'accepted',
  'i_string_incomplete_surrogate_pair.json': 'accepted',
  'i_string_incomplete_surrogates_escape_valid.json': 'accepted',
  'i_string_invalid_lonely_surrogate.json': 'accepted',
  'i_string_invalid_surrogate.json': 'accepted',
  'i_string_invalid_utf-8.json': 'refused',
  'i_string_inverted_surrogates_U+1D11E.json': 'accepted',
  'i_string_iso_latin_1.json': 'refused',
  'i_string_lone_second_surrogate.json': 'accepted',
  'i_string_lone_utf8_continuation_byte.json': 'refused',
  'i_string_not_in_unicode_range.json': 'refused',
  'i_string_overlong_sequence_2_bytes.json': 'refused',
  'i_string_overlong_sequence_6_bytes.json': 'refused',
  'i_string_overlong_sequence_6_bytes_null.json': 'refused',
  'i_string_truncated-utf-8.json': 'refused',
  'i_string_utf16BE_no_BOM.json': 'refused',
  'i_string_utf16LE_no_BOM.json': 'refused',
  'i_structure_500_nested_arrays.json': 'accepted',
  'i_structure_UTF-8_BOM_empty_object.json': 'refused',
};

function parse(text: string): JsonDocument {
  return parseRawJson(Buffer.from(text));
}

function isAccepted(bytes: Uint8Array): boolean {
  try {
    parseRawJson(bytes);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(JsonSyntaxError);
    return false;
  }
}

/** The other parser that must agree on what JSON is. */
function isAcceptedByPlatform(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

function errorOffset(bytes: Uint8Array): number {
  try {
    parseRawJson(bytes);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error.offset;
    throw error;
  }
  throw new Error('was accepted');
}

describe('the JSON test suite', () => {
  const files = readdirSync(CORPUS).filter((name) => name.endsWith('.json'));

  test('is there whole, and the table names exactly its i_ files', () => {
    expect(files).toHaveLength(318);
    expect(files.filter((name) => name.startsWith('i_')).sort()).toEqual(
      Object.keys(IMPLEMENTATION_DEFINED).sort(),
    );
  });

  test.each(files)('%s', (name) => {
    const bytes = readFileSync(new URL(encodeURIComponent(name), CORPUS));
    const expected = name.startsWith('i_')
      ? IMPLEMENTATION_DEFINED[name]
      : name.startsWith('y_')
        ? 'accepted'
        : 'refused';
    expect(isAccepted(bytes) ? 'accepted' : 'refused').toBe(expected);
    expect(isAcceptedByPlatform(bytes) ? 'accepted' : 'refused').toBe(expected);
  });
});

describe('agreement with JSON.parse over a fatal decode', () => {
  const seeds = [
    '{"id":"evt_1","data":{"amount":1.10,"list":[1,-2.5e+10,{"a":[]}],"ok":true,"no":false,"nil":null}}',
    ' [ "\\u00e9\\ud83d\\n\\"\\\\\\/", "Ama Ɔkɔtɔ 💸", 0, -0, 1E400 ] \r\n\t',
    '{"":{"__proto__":{},"a":1,"a":2},"x":"\\uD800"}',
    '"plain"',
    'true',
    '-12.50e-07',
  ].map((text) => Buffer.from(text));
  const anything = fc.oneof(
    fc.constantFrom(...seeds),
    fc.json({ maxDepth: 6 }).map((text) => Buffer.from(text)),
    fc.json({ maxDepth: 4 }).map((text) => Buffer.from(JSON.stringify(JSON.parse(text), null, '\t'))),
  );
  const byte = fc.oneof(
    fc.constantFrom(...Buffer.from('{}[]":,\\/-+.eEu0123456789truefalsn \t\r\n')),
    fc.integer({ min: 0, max: 255 }),
  );
  const mutation = fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    removed: fc.integer({ min: 0, max: 2 }),
    inserted: fc.array(byte, { maxLength: 2 }),
  });

  function mutated(
    document: Buffer,
    mutations: readonly { at: number; removed: number; inserted: number[] }[],
  ) {
    return mutations.reduce<Buffer>((bytes, { at, removed, inserted }) => {
      const index = Math.floor(at * (bytes.length + 1));
      return Buffer.concat([
        bytes.subarray(0, index),
        Buffer.from(inserted),
        bytes.subarray(index + removed),
      ]);
    }, document);
  }

  test('on mutated documents', () => {
    let accepted = 0;
    fc.assert(
      fc.property(anything, fc.array(mutation, { maxLength: 3 }), (document, mutations) => {
        const bytes = mutated(document, mutations);
        const expected = isAcceptedByPlatform(bytes);
        if (expected) accepted += 1;
        expect(isAccepted(bytes)).toBe(expected);
      }),
      { numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });

  test('on every truncation and every changed byte of a document', () => {
    const document = seeds[0] ?? Buffer.alloc(0);
    for (let at = 0; at < document.length; at += 1) {
      const cut = document.subarray(0, at);
      expect(isAccepted(cut)).toBe(isAcceptedByPlatform(cut));
      for (let value = 0; value < 256; value += 1) {
        const changed = Buffer.from(document);
        changed[at] = value;
        if (isAccepted(changed) !== isAcceptedByPlatform(changed)) throw new Error(`${value} at ${at}`);
      }
    }
  });

  test('values, members and elements are those of JSON.parse', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        const document = parse(text);
        const value: unknown = JSON.parse(text);
        expect(document.valueOf(document.root)).toEqual(value);
        if (document.root.kind === 'object') {
          const members = document.members(document.root);
          const entries = members.map(({ key, value: span }) => [key, document.valueOf(span)] as const);
          expect(new Map(entries)).toEqual(new Map(Object.entries(value as object)));
        }
        if (document.root.kind === 'array') {
          expect(document.elements(document.root).map((span) => document.valueOf(span))).toEqual(value);
        }
      }),
    );
  });
});

describe('syntax errors', () => {
  test.each([
    ['nothing', '', 0],
    ['white space only', ' \n', 2],
    ['a second value', '{} {}', 3],
    ['an open string', '{"a', 3],
    ['a control character', '["a\nb"]', 3],
    ['a bad escape', '["\\x"]', 3],
    ['a bad hexadecimal digit', '["\\u00g0"]', 6],
    ['a leading zero', '[01]', 2],
    ['a trailing comma', '{"a":1,}', 7],
    ['a key that is no string', '{1:2}', 1],
    ['a mismatched bracket', '{"a":[1}', 7],
    ['a half literal', '[nul]', 4],
    ['a byte-order mark', '\uFEFF{}', 0],
  ])('%s', (_what, text, offset) => {
    expect(errorOffset(Buffer.from(text))).toBe(offset);
  });

  test('invalid UTF-8 is found where it stands', () => {
    expect(errorOffset(Buffer.concat([Buffer.from('{"é":"'), Buffer.from([0xff, 0x22, 0x7d])]))).toBe(7);
  });
});

describe('spans', () => {
  test('keys are unescaped, repeated ones stay, bytes are untouched', () => {
    const document = parse(' { "d\\u0061ta" : { "n": 1.10 } , "data":[1 , 2], "\\ud83d\\udcb8":"x" } ');
    const members = document.members(document.root);
    expect(members.map(({ key }) => key)).toEqual(['data', 'data', '💸']);
    expect(members.map(({ value }) => Buffer.from(document.bytesOf(value)).toString())).toEqual([
      '{ "n": 1.10 }',
      '[1 , 2]',
      '"x"',
    ]);
    expect(document.repeatedKey(document.root)).toBe('data');
    expect(document.root).toEqual({ kind: 'object', start: 1, end: document.bytes.length - 1, depth: 2 });
  });

  test('bytesOf is a view, also into a view', () => {
    const whole = Buffer.from('xx[12]yy');
    const document = parseRawJson(whole.subarray(2, 6));
    const [element] = document.elements(document.root);
    expect(element && document.valueOf(element)).toBe(12);
    whole[3] = 0x33;
    expect(element && document.valueOf(element)).toBe(32);
  });

  test.each([
    ['1', 'number', 0],
    ['"[[["', 'string', 0],
    ['true', 'boolean', 0],
    ['false', 'boolean', 0],
    ['null', 'null', 0],
    ['{}', 'object', 1],
    ['[]', 'array', 1],
    ['{"a":[]}', 'object', 2],
    ['[1,[2],"]",[[3]],4]', 'array', 3],
  ])('%s: %s of depth %d', (text, kind, depth) => {
    expect(parse(text).root).toEqual({ kind, start: 0, end: text.length, depth });
    const nested = parse(`[${text}, {"k" : ${text} }]`);
    const [element, object] = nested.elements(nested.root);
    expect(element).toEqual({ kind, start: 1, end: 1 + text.length, depth });
    expect(object && nested.members(object)[0]?.value).toMatchObject({ kind, depth });
  });

  test('__proto__ is a member like any other', () => {
    const document = parse('{"__proto__":{"admin":true},"constructor":1}');
    const value = document.valueOf(document.root) as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(document.repeatedKey(document.root)).toBeNull();
    expect(document.members(document.root)[0]?.key).toBe('__proto__');
  });

  test('only objects have members, only arrays have elements', () => {
    const document = parse('[]');
    expect(() => document.members(document.root)).toThrow(TypeError);
    expect(() => document.repeatedKey(document.root)).toThrow(TypeError);
    const object = parse('{}');
    expect(() => object.elements(object.root)).toThrow(TypeError);
  });
});

describe('hostile bodies', () => {
  const HALF_MEBIBYTE = 512 * 1024;

  test.each(['[', '{"a":', '[{"":'])('a body of %s is refused at its end', (piece) => {
    const bytes = Buffer.from(piece.repeat(HALF_MEBIBYTE / piece.length));
    expect(errorOffset(bytes)).toBe(bytes.length);
  });

  test('a quarter of a million levels are counted', () => {
    const levels = HALF_MEBIBYTE / 2;
    const document = parse('['.repeat(levels) + ']'.repeat(levels));
    expect(document.root.depth).toBe(levels);
    const [inner] = document.elements(document.root);
    expect(inner?.depth).toBe(levels - 1);
  });
});
