import { describe, expect, test } from '@jest/globals';
import { isPortIn, parsePortRanges } from './port-ranges.js';

describe('a list of ports and ranges', () => {
  const ranges = parsePortRanges('80, 443 ,1024 - 65535');

  test.each([80, 443, 1_024, 8_080, 65_535])('holds %i', (port) => {
    expect(isPortIn(ranges, port)).toBe(true);
  });

  test.each([0, 1, 22, 79, 81, 442, 444, 1_023, 65_536])('does not hold %i', (port) => {
    expect(isPortIn(ranges, port)).toBe(false);
  });
});

test.each([
  '',
  ' ',
  ',',
  '80,',
  '0',
  '65536',
  '99999',
  '100000',
  '443-80',
  '-80',
  '80-',
  '80-90-100',
  '8O',
  '1e3',
  '+80',
])('%j is refused, by name', (text) => {
  expect(() => parsePortRanges(text)).toThrow(RangeError);
  expect(() => parsePortRanges(text)).toThrow(`in ${JSON.stringify(text)}`);
});
