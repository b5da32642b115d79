import { expect, jest, test } from '@jest/globals';
import { armFailpoints, UNARMED } from './failpoints.js';

test.each([undefined, ''])('nothing is armed by %p', (specification) => {
  expect(armFailpoints(specification, jest.fn())).toBe(UNARMED);
});

test('kills the first time, or the time that it is told, and only where it is armed', () => {
  const kill = jest.fn();
  const reach = armFailpoints('after-commit:kill@3, before-send:kill', kill);
  reach('after-response');
  reach('after-commit');
  reach('after-commit');
  expect(kill).not.toHaveBeenCalled();
  reach('after-commit');
  expect(kill).toHaveBeenCalledTimes(1);
  reach('before-send');
  expect(kill).toHaveBeenCalledTimes(2);
});

test.each(['after-lunch:kill', 'after-commit', 'after-commit:sleep', 'after-commit:kill@0', ','])(
  'refuses %p',
  (specification) => {
    expect(() => armFailpoints(specification, jest.fn())).toThrow(RangeError);
  },
);
