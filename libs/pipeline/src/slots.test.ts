import { expect, test } from '@jest/globals';
import { Slots } from './slots.js';

test('slots are taken while there are enough, then in the order of asking', async () => {
  const slots = new Slots(4);
  await slots.take(3);
  const order: string[] = [];
  const large = slots.take(4).then(() => order.push('large'));
  const small = slots.take(1).then(() => order.push('small'));
  expect(slots.available).toBe(0);
  slots.give(2);
  await Promise.resolve();
  expect(order).toEqual([]);
  slots.give(1);
  await large;
  expect(slots.inUse).toBe(4);
  slots.give(4);
  await small;
  expect(order).toEqual(['large', 'small']);
  slots.give(1);
  expect(slots.available).toBe(4);
});

test('more than there are can never be had', async () => {
  await expect(new Slots(4).take(5)).rejects.toThrow(RangeError);
});

test('once opened up, nobody waits', async () => {
  const slots = new Slots(2);
  await slots.take(2);
  const waiting = slots.take(2);
  slots.openUp();
  await waiting;
  await slots.take(2);
});
