import { expect, test } from '@jest/globals';
import { FAST_SLOTS, InFlight, SLOW_AFTER_MS, SLOW_SLOTS } from './in-flight.js';

function clocked() {
  let nowMs = 0;
  const inFlight = new InFlight(() => nowMs);
  return { inFlight, later: (ms: number) => (nowMs += ms) };
}

const of = (endpointId: string, merchantId = 'm') => ({ endpointId, merchantId });

async function begin(inFlight: InFlight, count: number, claim = of('e')) {
  await inFlight.slots.fast.take(count);
  return Array.from({ length: count }, () => {
    const attempt = inFlight.begin(claim, 'fast');
    inFlight.sent(attempt);
    return attempt;
  });
}

test('an endpoint gets an eighth of the fast lane, and what it has in hand counts', async () => {
  const { inFlight } = clocked();
  const attempts = await begin(inFlight, 10);
  expect(inFlight.rooms('fast')).toMatchObject({
    perEndpoint: FAST_SLOTS / 8,
    endpoints: [{ id: 'e', room: FAST_SLOTS / 8 - 10 }],
  });
  for (const attempt of attempts) inFlight.end(attempt);
  expect(inFlight.rooms('fast').endpoints).toEqual([]);
  expect(inFlight.slots.fast.available).toBe(FAST_SLOTS);
});

test('a merchant that is alone gets half of the lane, and a quarter while others wait', async () => {
  const { inFlight } = clocked();
  const alone = await begin(inFlight, FAST_SLOTS / 2 + 1, of('a', 'greedy'));
  expect(inFlight.rooms('fast')).toMatchObject({
    perMerchant: FAST_SLOTS / 2,
    merchants: [{ id: 'greedy', room: 0 }],
  });
  for (const attempt of alone.slice(0, FAST_SLOTS / 4 + 1)) inFlight.end(attempt);
  await begin(inFlight, 1, of('b', 'other'));
  expect(inFlight.rooms('fast')).toMatchObject({ perMerchant: FAST_SLOTS / 2 });
  await begin(inFlight, FAST_SLOTS / 4, of('b', 'other'));
  expect(inFlight.rooms('fast')).toMatchObject({
    perMerchant: FAST_SLOTS / 4,
    merchants: [
      { id: 'greedy', room: 0 },
      { id: 'other', room: 0 },
    ],
  });
});

test('hinted ahead is what there is room for and twice what has ended: nothing of what hangs, plenty of what is quick', async () => {
  const { inFlight } = clocked();
  await begin(inFlight, FAST_SLOTS / 8, of('hanging', 'a'));
  const quick = await begin(inFlight, 10, of('quick', 'b'));
  for (const attempt of quick) inFlight.end(attempt);
  expect(inFlight.roomsAhead().fast).toEqual({
    perEndpoint: FAST_SLOTS / 8,
    endpoints: [
      { id: 'hanging', room: 0 },
      { id: 'quick', room: FAST_SLOTS / 8 + 20 },
    ],
    perMerchant: FAST_SLOTS / 2,
    merchants: [
      { id: 'a', room: FAST_SLOTS / 2 - FAST_SLOTS / 8 },
      { id: 'b', room: FAST_SLOTS / 2 + 20 },
    ],
  });
  expect(inFlight.roomsAhead().fast.endpoints).toEqual([{ id: 'hanging', room: 0 }]);
});

test('what we take ourselves, before a request and after its answer, makes no endpoint slow', async () => {
  const { inFlight, later } = clocked();
  await inFlight.slots.fast.take(2);
  inFlight.begin(of('unsent'), 'fast');
  const answered = inFlight.begin(of('answered'), 'fast');
  inFlight.sent(answered);
  inFlight.answered(answered);
  later(SLOW_AFTER_MS * 10);
  expect(inFlight.moveSlow()).toEqual([]);
});

test('an attempt that has become slow gives its fast slot back and is counted as slow, beyond that lane if need be', async () => {
  const { inFlight, later } = clocked();
  const hanging = await begin(inFlight, FAST_SLOTS, of('hangs'));
  expect(inFlight.slots.fast.available).toBe(0);
  later(SLOW_AFTER_MS - 1);
  expect(inFlight.moveSlow()).toEqual([]);
  later(1);
  expect(inFlight.moveSlow()).toEqual(['hangs']);
  expect(inFlight.moveSlow()).toEqual([]);
  expect(inFlight.slots.fast.available).toBe(FAST_SLOTS);
  expect(inFlight.slots.slow.inUse).toBe(FAST_SLOTS);
  expect(inFlight.slots.slow.available).toBe(0);

  let isTaken = false;
  const waiting = inFlight.slots.slow.take(1).then(() => (isTaken = true));
  for (const attempt of hanging.slice(0, FAST_SLOTS - SLOW_SLOTS)) inFlight.end(attempt);
  await Promise.resolve();
  expect(isTaken).toBe(false);
  for (const attempt of hanging.slice(FAST_SLOTS - SLOW_SLOTS)) inFlight.end(attempt);
  await waiting;
  expect(inFlight.size).toBe(0);
});

test('once answered, an attempt holds its slot until it is settled, but no more of its endpoint or merchant', async () => {
  const { inFlight } = clocked();
  const attempts = await begin(inFlight, 3);
  for (const attempt of attempts) inFlight.answered(attempt);
  expect(inFlight.rooms('fast')).toMatchObject({ endpoints: [], merchants: [] });
  expect(inFlight.slots.fast.inUse).toBe(3);
  for (const attempt of attempts) inFlight.end(attempt);
  expect(inFlight.rooms('fast')).toMatchObject({ endpoints: [], merchants: [] });
  expect(inFlight.slots.fast.inUse).toBe(0);
  expect(inFlight.size).toBe(0);
});
