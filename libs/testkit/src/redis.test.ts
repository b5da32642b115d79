import { connect } from 'node:net';
import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { hasRedis, spawnRedis, startRedis } from './redis.js';

const canSpawn = hasRedis() && (process.env['REDIS_URL'] ?? '') === '';

describe('redis', () => {
  (canSpawn ? test : test.skip)('answers as it is configured, and is gone after stop', async () => {
    const redis = await spawnRedis();
    expect(await ask(redis.url, 'CONFIG GET maxmemory-policy')).toContain('noeviction');
    process.kill(redis.pid, 'SIGSTOP');
    await redis.stop();
    await expect(ask(redis.url, 'PING')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('without REDIS_URL and redis-server there is none, which in CI is an error', async () => {
    const { PATH, REDIS_URL, CI } = process.env;
    try {
      Object.assign(process.env, { PATH: '/nonexistent', REDIS_URL: '', CI: '' });
      expect(hasRedis()).toBe(false);
      expect(await startRedis()).toBeNull();
      process.env['CI'] = 'true';
      expect(() => hasRedis()).toThrow('neither REDIS_URL nor a redis-server');
      await expect(startRedis()).rejects.toThrow('neither REDIS_URL nor a redis-server');
    } finally {
      restore({ PATH, REDIS_URL, CI });
    }
  });
});

function restore(variables: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
}

async function ask(url: string, command: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  try {
    await once(socket, 'connect');
    socket.write(`${command}\r\n`);
    const [reply] = (await once(socket, 'data')) as [Buffer];
    return reply.toString('latin1');
  } finally {
    socket.destroy();
  }
}
