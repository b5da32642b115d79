import { expect, test } from '@jest/globals';
import { readiness } from './readiness.js';

test('one check that fails does not hide the others', async () => {
  expect(
    await readiness([
      { name: 'good', problem: () => Promise.resolve(null) },
      { name: 'bad', problem: () => Promise.resolve('is bad') },
      { name: 'broken', problem: () => Promise.reject(new Error('first line\nsecond line')) },
    ]),
  ).toEqual({ ready: false, checks: { good: 'ok', bad: 'is bad', broken: 'first line' } });
});

test('without checks there is nothing against it', async () => {
  expect(await readiness([])).toEqual({ ready: true, checks: {} });
});
