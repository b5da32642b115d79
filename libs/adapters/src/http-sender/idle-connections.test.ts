import { expect, test } from '@jest/globals';
import { IdleConnections, type PoolableConnection } from './idle-connections.js';

class FakeConnection implements PoolableConnection {
  isOpen = true;

  constructor(
    readonly key: string,
    readonly name: string,
  ) {}

  destroy(): void {
    this.isOpen = false;
  }
}

function connections(key: string, ...names: string[]): FakeConnection[] {
  return names.map((name) => new FakeConnection(key, name));
}

function poolOf(
  limits: { perKeyMax: number; max: number },
  idle: FakeConnection[],
): IdleConnections<FakeConnection> {
  const pool = new IdleConnections<FakeConnection>(limits);
  for (const connection of idle) pool.put(connection);
  return pool;
}

const ROOMY = { perKeyMax: 10, max: 10 };

test('the one used last is taken first, and only for its own key', () => {
  const pool = poolOf(ROOMY, [
    ...connections('https://a.test', 'a1', 'a2'),
    ...connections('https://b.test', 'b1'),
  ]);
  expect(pool.take('https://a.test')?.name).toBe('a2');
  expect(pool.take('https://a.test')?.name).toBe('a1');
  expect(pool.take('https://a.test')).toBeNull();
  expect(pool.take('https://c.test')).toBeNull();
  expect(pool.take('https://b.test')?.name).toBe('b1');
});

test('one that closed while idle is not taken, nor one that was closed when it was put back', () => {
  const idle = connections('https://a.test', 'a1', 'a2', 'a3');
  const pool = poolOf(ROOMY, idle);
  idle[2]?.destroy();
  expect(pool.take('https://a.test')?.name).toBe('a2');
  idle[1]?.destroy();
  pool.put(idle[1] as FakeConnection);
  expect(pool.take('https://a.test')?.name).toBe('a1');
});

test('one that is forgotten is not taken, whatever its place', () => {
  const idle = connections('https://a.test', 'a1', 'a2', 'a3');
  const pool = poolOf(ROOMY, idle);
  pool.forget(idle[1] as FakeConnection);
  pool.forget(new FakeConnection('https://b.test', 'never idle'));
  expect([pool.take('https://a.test')?.name, pool.take('https://a.test')?.name]).toEqual(['a3', 'a1']);
});

test('an key with enough idle ones gets no more', () => {
  const idle = connections('https://a.test', 'a1', 'a2', 'a3');
  poolOf({ perKeyMax: 2, max: 10 }, idle);
  expect(idle.map(({ isOpen }) => isOpen)).toEqual([true, true, false]);
});

test('when there are too many in all, the one idle longest is closed', () => {
  const [a1, ...rest] = [
    ...connections('https://a.test', 'a1'),
    ...connections('https://b.test', 'b1', 'b2'),
  ];
  const pool = poolOf({ perKeyMax: 10, max: 2 }, [a1 as FakeConnection, ...rest]);
  expect([a1, ...rest].map((connection) => connection?.isOpen)).toEqual([false, true, true]);
  expect(pool.take('https://a.test')).toBeNull();
});

test('the one that makes room may be the last of the same key', () => {
  const pool = poolOf({ perKeyMax: 10, max: 1 }, connections('https://a.test', 'a1', 'a2'));
  expect(pool.take('https://a.test')?.name).toBe('a2');
});

test('all of them can be closed', () => {
  const idle = [...connections('https://a.test', 'a1'), ...connections('https://b.test', 'b1')];
  const pool = poolOf(ROOMY, idle);
  pool.destroyAll();
  expect(idle.map(({ isOpen }) => isOpen)).toEqual([false, false]);
  expect(pool.take('https://a.test')).toBeNull();
});
