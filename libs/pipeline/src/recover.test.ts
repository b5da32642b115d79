import { describe, expect, test } from '@jest/globals';
import { planBatch, roomOf } from './recover.js';

/** Capital letters are wanted. */
const candidates = (text: string) => Array.from(text, (id) => ({ id, isWanted: id === id.toUpperCase() }));

describe('planBatch', () => {
  test.each<[string, number, number, string, string | null, boolean]>([
    // candidates, room, looked for, wanted, position, last
    ['', 5, 3, '', null, true],
    ['AbC', 5, 4, 'AC', 'C', true],
    ['AbC', 5, 3, 'AC', 'C', false],
    ['abc', 5, 3, '', 'c', false],
    ['AbCdE', 2, 5, 'AC', 'd', false],
    ['AbCd', 2, 5, 'AC', 'd', true],
    ['ABC', 1, 5, 'A', 'A', false],
  ])('of %s with room for %i, looked for %i', (text, room, lookedFor, wanted, position, isLast) => {
    expect(planBatch(candidates(text), room, lookedFor)).toEqual({
      wanted: wanted.split(''),
      position,
      isLast,
    });
  });
});

test.each<[number | null, number]>([
  [null, 100],
  [0.9, 0],
  [7.9, 7],
  [5_000, 100],
])('with %p tokens a batch of at most 100 has room for %i', (tokens, room) => {
  expect(roomOf(tokens, 100)).toBe(room);
});
