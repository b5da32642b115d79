import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { ConfigurationError, describeEnvironment, readEnvironment, redacted } from './environment.js';

const KEY = Buffer.alloc(32, 7).toString('base64');
const needed = {
  DATABASE_URL: 'postgres://posthorn:hunter2@db:5432/posthorn?password=hunter3',
  POSTHORN_ENCRYPTION_KEYS: `k1:${KEY}`,
};

function problemsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigurationError)
      return error.message
        .split('\n')
        .slice(1)
        .map((line) => line.trim());
    throw error;
  }
  return [];
}

describe('readEnvironment', () => {
  test('defaults', () => {
    expect(readEnvironment('api', needed)).toEqual({
      port: 8080,
      host: '127.0.0.1',
      databaseUrl: needed.DATABASE_URL,
      redisUrl: null,
      dataDir: '.posthorn',
      platformKey: null,
      encryptionKeys: [{ id: 'k1', key: new Uint8Array(32).fill(7) }],
      headerPrefix: 'X-Posthorn',
      allowHttp: false,
      egressAllow: [],
      egressPorts: '80,443,1024-65535',
      apiRatePerSecond: 100,
      trustedProxies: [],
      retentionDays: 30,
      egressProxy: null,
      disableAfterDays: 5,
      logLevel: 'info',
      assumed: [],
    });
  });

  test('an empty variable is an unset one', () => {
    const empty = {
      PORT: '',
      REDIS_URL: '',
      POSTHORN_ALLOW_HTTP: '',
      POSTHORN_EGRESS_ALLOW: '',
      LOG_LEVEL: '',
    };
    expect(readEnvironment('worker', { ...needed, ...empty })).toEqual(readEnvironment('worker', needed));
  });

  test('port 0 and every way to write what is allowed', () => {
    const configuration = readEnvironment('api', {
      ...needed,
      PORT: '0',
      REDIS_URL: 'rediss://user:secret@redis:6379/1',
      POSTHORN_PLATFORM_KEY: 'correct horse battery staple',
      POSTHORN_ENCRYPTION_KEYS: `new:${KEY}, old.1:${Buffer.alloc(32, 1).toString('base64')}`,
      POSTHORN_ALLOW_HTTP: 'true',
      POSTHORN_EGRESS_ALLOW: '10.0.0.0/8, fd00::/8',
      POSTHORN_EGRESS_PORTS: '443, 8000-8999',
      POSTHORN_API_RATE_PER_SECOND: '2500',
      POSTHORN_TRUSTED_PROXIES: '10.0.0.0/8, 2001:db8::/32',
      POSTHORN_RETENTION_DAYS: '400',
      POSTHORN_EGRESS_PROXY: 'http://posthorn:p%20w@proxy:3128',
      POSTHORN_HEADER_PREFIX: 'X-Acme',
    });
    expect(configuration).toMatchObject({
      port: 0,
      platformKey: 'correct horse battery staple',
      allowHttp: true,
      egressAllow: ['10.0.0.0/8', 'fd00::/8'],
      egressPorts: '443, 8000-8999',
      apiRatePerSecond: 2_500,
      trustedProxies: ['10.0.0.0/8', '2001:db8::/32'],
      retentionDays: 400,
      egressProxy: 'http://posthorn:p%20w@proxy:3128',
      headerPrefix: 'X-Acme',
    });
    expect(configuration.encryptionKeys.map(({ id }) => id)).toEqual(['new', 'old.1']);
    expect(readEnvironment('api', { ...needed, POSTHORN_EGRESS_ALLOW: 'none' }).egressAllow).toEqual([]);
  });

  test('one message names every wrong variable and repeats no secret', () => {
    const wrong = {
      PORT: '65536',
      DATABASE_URL: 'mysql://root:hunter2@db/x',
      REDIS_URL: 'hunter2',
      POSTHORN_PLATFORM_KEY: 'hunter2-is-short',
      POSTHORN_ENCRYPTION_KEYS: 'hunter2',
      POSTHORN_HEADER_PREFIX: 'X Posthorn',
      POSTHORN_ALLOW_HTTP: 'yes',
      POSTHORN_EGRESS_ALLOW: '10.0.0.1',
      POSTHORN_EGRESS_PORTS: '0-80',
      POSTHORN_API_RATE_PER_SECOND: '0',
      POSTHORN_TRUSTED_PROXIES: 'nginx',
      POSTHORN_RETENTION_DAYS: '401',
      POSTHORN_EGRESS_PROXY: 'https://posthorn:hunter2@proxy',
      POSTHORN_DISABLE_AFTER_DAYS: '0',
      LOG_LEVEL: 'loud',
    };
    const problems = problemsOf(() => readEnvironment('api', wrong));
    expect(problems.map((line) => line.split(' ', 1)[0])).toEqual(Object.keys(wrong));
    expect(problems.join('\n')).not.toContain('hunter2');
  });

  test.each<[string, number | null]>([
    ['off', null],
    ['0.5', 0.5],
    ['365', 365],
  ])('POSTHORN_DISABLE_AFTER_DAYS=%s', (text, disableAfterDays) => {
    const source = { POSTHORN_DISABLE_AFTER_DAYS: text };
    expect(readEnvironment('standalone', source)).toMatchObject({ disableAfterDays });
  });

  test.each([
    ['k1', 'must be id:base64key pairs joined by commas; number 1 is not'],
    [`k1:${KEY},:${KEY}`, 'must be id:base64key pairs joined by commas; number 2 is not'],
    [`k1:${KEY}:x`, 'must be id:base64key pairs joined by commas; number 1 is not'],
    [
      `k1:${Buffer.alloc(31).toString('base64')}`,
      'must hold the base64 of 32 bytes for each key; k1 does not',
    ],
    [`k1:${KEY.slice(0, -1)}`, 'must hold the base64 of 32 bytes for each key; k1 does not'],
    [`k1:${KEY},k1:${KEY}`, 'has the key id k1 twice'],
  ])('POSTHORN_ENCRYPTION_KEYS=%s', (keys, problem) => {
    expect(problemsOf(() => readEnvironment('standalone', { POSTHORN_ENCRYPTION_KEYS: keys }))).toEqual([
      `POSTHORN_ENCRYPTION_KEYS ${problem}`,
    ]);
  });

  test.each(['0', '-1', '1.5', '1e3', '100001', ' 100', 'off', 'unlimited'])(
    'POSTHORN_API_RATE_PER_SECOND=%s',
    (rate) => {
      expect(
        problemsOf(() => readEnvironment('api', { ...needed, POSTHORN_API_RATE_PER_SECOND: rate })),
      ).toEqual(['POSTHORN_API_RATE_PER_SECOND must be a whole number from 1 to 100000']);
    },
  );
  test.each([
    'proxy:3128',
    'socks5://proxy',
    'http://',
    'http://proxy/path',
    'http://proxy/?a',
    'http://a:%zz@proxy',
  ])('POSTHORN_EGRESS_PROXY=%s', (proxy) => {
    expect(problemsOf(() => readEnvironment('standalone', { POSTHORN_EGRESS_PROXY: proxy }))).toEqual([
      'POSTHORN_EGRESS_PROXY must be the http:// URL of a proxy, with a host, a port and at most a user and a password',
    ]);
  });

  test('API and worker need a database and keys, standalone needs nothing', () => {
    const missing = ['DATABASE_URL is needed', 'POSTHORN_ENCRYPTION_KEYS is needed'];
    expect(problemsOf(() => readEnvironment('api', {}))).toEqual(missing);
    expect(problemsOf(() => readEnvironment('worker', {}))).toEqual(missing);
    expect(readEnvironment('standalone', {})).toMatchObject({ databaseUrl: null, encryptionKeys: [] });
  });

  test('standalone lets itself reach its own machine unless told otherwise', () => {
    expect(readEnvironment('standalone', {})).toMatchObject({
      allowHttp: true,
      egressAllow: ['127.0.0.0/8', '::1/128'],
      assumed: ['POSTHORN_ALLOW_HTTP=true', 'POSTHORN_EGRESS_ALLOW=127.0.0.0/8,::1/128'],
    });
    const told = { POSTHORN_ALLOW_HTTP: 'false', POSTHORN_EGRESS_ALLOW: 'none' };
    expect(readEnvironment('standalone', told)).toMatchObject({
      allowHttp: false,
      egressAllow: [],
      assumed: [],
    });
  });
});

test('the boot log holds nothing that opens anything', () => {
  const configuration = readEnvironment('api', {
    ...needed,
    REDIS_URL: 'redis://:hunter4@redis:6379',
    POSTHORN_PLATFORM_KEY: 'hunter5-hunter5-hunter5-hunter5',
    POSTHORN_EGRESS_PROXY: 'http://hunter6:hunter7@proxy:3128',
  });
  const line = JSON.stringify(redacted(configuration));
  expect(line).not.toMatch(/hunter\d/);
  expect(line).not.toContain(KEY);
  expect(line).toContain('postgres://posthorn:redacted@db:5432/posthorn');
  expect(line).toContain('k1:[redacted]');
  expect(line).toContain('http://redacted:redacted@proxy:3128');
});

test('docs/config.md is what describeEnvironment makes', async () => {
  expect(await readFile(new URL('../../../docs/config.md', import.meta.url), 'utf8')).toBe(
    describeEnvironment(),
  );
});
