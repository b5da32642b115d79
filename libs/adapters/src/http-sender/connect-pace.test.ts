import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { CONNECTS_PER_TURN_MAX, ConnectPace } from './connect-pace.js';

test('so many connections a turn, in order, and as many again once it is quiet', async () => {
  const pace = new ConnectPace();
  const opened: number[] = [];
  const all = Array.from({ length: 3 * CONNECTS_PER_TURN_MAX }, async (_, index) => {
    await pace.turn();
    opened.push(index);
  });
  await Promise.resolve();
  expect(opened).toHaveLength(CONNECTS_PER_TURN_MAX);
  await nextTurn();
  expect(opened).toHaveLength(2 * CONNECTS_PER_TURN_MAX);
  await Promise.all(all);
  expect(opened).toEqual([...opened.keys()]);
  await nextTurn();
  await nextTurn();
  const again = Array.from({ length: CONNECTS_PER_TURN_MAX }, () => pace.turn().then(() => opened.push(-1)));
  await Promise.resolve();
  await Promise.resolve();
  expect(opened.slice(3 * CONNECTS_PER_TURN_MAX)).toHaveLength(CONNECTS_PER_TURN_MAX);
  await Promise.all(again);
});
