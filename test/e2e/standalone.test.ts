// The real program, as a person starts and stops it. Doubled: nothing; the receiver is a real one on this machine. Observed:
// what the program prints, its exit code, the processes and files that it leaves, and what the receiver got. Not
// asserted here: what the embedded server does by itself (apps/standalone/src/embedded-postgres.test.ts). Tests that
// share a data directory run in their order; beside them, concurrently, run those that have one of their own.
// Jest runs concurrent tests together only where they stand side by side in one block: there is no `describe` here.
// mkdtemp makes directories of mode 0700: as root, the account that PostgreSQL runs as cannot enter them.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { freeLoopbackPort } from '#adapters/postgres/embedded/loopback-port.js';
import { eventually } from '#testkit/eventually.js';
import { createTestDatabase } from '#testkit/postgres.js';
import { after } from '#testkit/receiver/behaviour.js';
import { startReceiver } from '#testkit/receiver/receiver.js';
import { hasRedis, startRedis } from '#testkit/redis.js';
import {
  clientOf,
  type Ended,
  hasCommand,
  killAll,
  NOBODY,
  type PosthornProgram,
  printedKey,
  processesIn,
  startStandalone,
  whyNotAsNobody,
} from './standalone-process.js';

const TEST_TIMEOUT_MS = 60_000;
/** What an operator may count on. */
const EXIT_MS_MAX = 15_000;

interface Deliveries {
  readonly data: readonly { readonly status: string; readonly attempt_count: number }[];
}

let temporary: string;
/** The data directory of the tests that are not concurrent. */
let kept: string;
let first: PosthornProgram;
let key: string;
/** Of what is in flight when it is told to stop. */
let slowWebhook: string;

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'posthorn-test-standalone-'));
  kept = join(temporary, 'kept');
  // Empty ones count as unset.
  const unset = ['DATABASE_URL', 'REDIS_URL', 'HOST', 'POSTHORN_PLATFORM_KEY', 'POSTHORN_ENCRYPTION_KEYS'];
  const environment = Object.fromEntries([...unset, 'LOG_LEVEL'].map((name) => [name, '']));
  first = startStandalone(kept, { environment });
});

afterAll(async () => {
  await killAll();
  await rm(temporary, { recursive: true, force: true });
}, TEST_TIMEOUT_MS);

test('the first start prints address and key once it is ready, and nothing else to worry about', async () => {
  const client = await clientOf(first);
  key = printedKey(first) ?? '';
  expect(key).toMatch(/^phk_[0-9a-z]{39}$/);
  expect(client.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect((await client.get('/readyz')).body).toEqual({
    status: 'ready',
    checks: { database: 'ok', queue: 'ok', consuming: 'ok' },
  });
  expect(warningsOf(first)).toEqual([]);
  expect(await readdir(kept)).toEqual(expect.arrayContaining(['platform-key', 'encryption-keys']));
});

const withCurl = hasCommand('curl') ? '' : ' [skipped: no curl on the PATH]';
(withCurl === '' ? test : test.skip)(
  `what it says to paste works when it is pasted${withCurl}`,
  async () => {
    const port = await freeLoopbackPort();
    const [receiverCommand = '', calls = ''] = pastedBlocks(first.stdout, port);
    const receiver = spawn('sh', ['-c', `exec ${receiverCommand}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      let received = '';
      receiver.stdout.on('data', (chunk: Buffer) => (received += chunk.toString()));
      const shell = spawn('sh', { stdio: ['pipe', 'pipe', 'inherit'] });
      shell.stdin.end(calls);
      const [webhook, event, deliveries] = (await text(shell.stdout))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(webhook).toMatchObject({ url: `http://127.0.0.1:${port}/hook`, status: 'enabled' });
      expect(event).toMatchObject({ type: 'payment.success', deliveries: 1 });
      expect(deliveries).toMatchObject({ data: [{ event_id: event?.['id'] }] });
      await eventually(() => {
        expect(received).toContain(`"type":"payment.success"`);
        expect(received).toContain(`"data":{"amount":"50.00"}`);
      });
    } finally {
      receiver.kill();
    }
  },
  TEST_TIMEOUT_MS,
);

test('a second start in the same place is told so in one line, on either port, and the first goes on', async () => {
  const { url } = await first.ready();
  const seconds = ['0', new URL(url).port].map((PORT) => startStandalone(kept, { environment: { PORT } }));
  for (const second of seconds) {
    expectOneLine(await second.ended, `Another Posthorn is running on ${kept}: `);
  }
  expect((await (await clientOf(first)).get('/readyz')).status).toBe(200);
});

test('a taken port is one line, and nothing is made', async () => {
  const { url } = await first.ready();
  const untouched = join(temporary, 'untouched');
  const other = startStandalone(untouched, { environment: { PORT: new URL(url).port } });
  expectOneLine(await other.ended, `Cannot listen on 127.0.0.1:${new URL(url).port}: `);
  expect(existsSync(untouched)).toBe(false);
});

test(
  'Ctrl-C, which comes twice, settles what is in flight and stops PostgreSQL last',
  async () => {
    const client = await clientOf(first);
    const receiver = await startReceiver({ behaviour: after(2_000) });
    try {
      const merchantId = await client.newMerchant();
      slowWebhook = (await client.newWebhook(merchantId, receiver.url('/slow'))).id;
      await client.sendEvent(merchantId);
      await receiver.waitFor(1, 10_000);
      await stop(first, () => first.signalGroup('SIGINT'), kept);
      expect(receiver.requests).toHaveLength(1);
    } finally {
      await receiver.close();
    }
    expect(warningsOf(first)).toEqual([]);
    // Nobody was cut off: all that used PostgreSQL had ended before it.
    const log = await readFile(join(kept, 'postgres.log'), 'utf8');
    expect(log).toContain('database system is shut down');
    expect(log).not.toContain('terminating connection');
  },
  TEST_TIMEOUT_MS,
);

test(
  'the second start keeps the data, and the key to itself; killed with -9, it has lost nothing by the third',
  async () => {
    const second = startStandalone(kept);
    const client = await clientOf(second, key);
    expect(second.stdout).not.toContain('phk_');
    expect((await client.get<Deliveries>(`/v1/webhooks/${slowWebhook}/deliveries`)).body).toMatchObject({
      data: [{ status: 'succeeded', attempt_count: 1 }],
    });

    const receiver = await startReceiver({ behaviour: after(600) });
    try {
      const merchantId = await client.newMerchant();
      const webhook = await client.newWebhook(merchantId, receiver.url('/'), { timeout_ms: 1_000 });
      const events = Array.from({ length: 40 }, (_, n) => ({
        merchant_id: merchantId,
        type: 'a.b',
        data: { n },
      }));
      expect((await client.post('/v1/events/batch', { events })).status).toBe(202);
      await receiver.waitFor(1, 10_000);
      second.signal('SIGKILL');
      await second.ended;
      receiver.on('*', after(0));

      const third = startStandalone(kept);
      const again = await clientOf(third, key);
      await eventually(async () => {
        const { body } = await again.get<Deliveries>(`/v1/webhooks/${webhook.id}/deliveries?limit=200`);
        expect(body.data.map(({ status }) => status)).toEqual(events.map(() => 'succeeded'));
      }, 30_000);
      const numbers = receiver.requests.map(({ body }) => (JSON.parse(body.toString()) as Sent).data.n);
      expect(new Set(numbers).size).toBe(events.length);
      await stop(third, () => third.signal('SIGTERM'), kept);
    } finally {
      await receiver.close();
    }
  },
  TEST_TIMEOUT_MS,
);

interface Sent {
  readonly data: { readonly n: number };
}

test.concurrent(
  'npm start in this checkout: Ctrl-C stops all of it in order, and so does SIGTERM to npm alone',
  async () => {
    const dataDir = join(temporary, 'npm');
    const npm = startStandalone(dataDir, { through: 'npm' });
    expect((await (await clientOf(npm)).get('/readyz')).status).toBe(200);
    await stop(npm, () => npm.signalGroup('SIGINT'), dataDir);

    // Whoever runs it as a service signals npm alone.
    const again = startStandalone(dataDir, { through: 'npm' });
    await again.ready();
    again.signal('SIGTERM');
    await again.ended;
    await expectNothingLeft(again, dataDir);
    expect(again.stdout).toContain('\nStopped. ');
  },
  TEST_TIMEOUT_MS,
);

test.concurrent.each([
  ['while it makes the cluster', (dataDir: string) => existsSync(join(dataDir, 'postgres.new'))],
  [
    'while it migrates',
    (_: string, { stderr }: PosthornProgram) => stderr.includes('made a PostgreSQL cluster'),
  ],
])(
  'a start that is interrupted %s leaves nothing running',
  async (name, isThen) => {
    const dataDir = join(temporary, name.replaceAll(' ', '-'));
    const program = startStandalone(dataDir);
    await eventually(() => {
      if (!isThen(dataDir, program)) throw new Error('not yet');
    }, TEST_TIMEOUT_MS);
    await stop(program, () => program.signalGroup('SIGINT'), dataDir);
    expect(program.stdout).not.toContain('is ready');

    const next = startStandalone(dataDir);
    await next.ready();
    await stop(next, () => next.signal('SIGTERM'), dataDir);
  },
  TEST_TIMEOUT_MS,
);

const notAsNobody = whyNotAsNobody();
(notAsNobody === null ? test.concurrent : test.skip)(
  `as an unprivileged user, in a directory of their own${notAsNobody === null ? '' : ` [skipped: ${notAsNobody}]`}`,
  async () => {
    // The one that holds all others is for root alone.
    const home = await mkdtemp(join(tmpdir(), 'posthorn-test-nobody-'));
    await chown(home, NOBODY.uid, NOBODY.gid);
    try {
      const program = startStandalone(join(home, 'data'), { identity: NOBODY });
      expect((await (await clientOf(program)).get('/readyz')).status).toBe(200);
      expect((await stat(join(home, 'data', 'postgres'))).uid).toBe(NOBODY.uid);
      await stop(program, () => program.signal('SIGTERM'), join(home, 'data'));
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  },
  TEST_TIMEOUT_MS,
);

test.concurrent('a read-only data directory is one line, and stays as it was', async () => {
  const dataDir = await mkdtemp(join(temporary, 'read-only-'));
  await chmod(dataDir, 0o555);
  const { ended } = startStandalone(dataDir);
  expectOneLine(await ended, `Cannot use the data directory ${dataDir}: `);
  expect(await readdir(dataDir)).toEqual([]);
});

test.concurrent(
  'an empty PORT is 8080, and an empty POSTHORN_DATA_DIR is .posthorn where it stands',
  async () => {
    const directory = await mkdtemp(join(temporary, 'defaults-'));
    // Either this server has the port, or something else had it before.
    const holder = createServer().on('error', () => undefined);
    await new Promise<void>((resolve) => {
      holder.once('error', () => resolve()).listen(8080, '127.0.0.1', resolve);
    });
    try {
      const refused = startStandalone('', { environment: { PORT: '' }, cwd: directory });
      expectOneLine(await refused.ended, 'Cannot listen on 127.0.0.1:8080: ');
      expect(await readdir(directory)).toEqual([]);
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
    const { ended } = startStandalone('', {
      environment: { DATABASE_URL: 'postgres://127.0.0.1:1/x' },
      cwd: directory,
    });
    expectOneLine(await ended, 'Cannot connect to PostgreSQL at 127.0.0.1:1: ');
    expect(await readdir(directory)).toEqual(['.posthorn']);
  },
);

const withRedis = hasRedis() ? '' : ' [skipped: no redis-server on the PATH]';
(withRedis === '' ? test.concurrent : test.skip)(
  `with REDIS_URL it uses that Redis${withRedis}`,
  async () => {
    const [redis, receiver] = await Promise.all([startRedis(), startReceiver()]);
    if (redis === null) throw new Error('there is no Redis');
    await onTestDatabase('redis', redis.url, async (program) => {
      const client = await clientOf(program);
      expect(program.stdout).toContain('queue          on Redis');
      const merchantId = await client.newMerchant();
      await client.newWebhook(merchantId, receiver.url('/'));
      await client.sendEvent(merchantId);
      await receiver.waitFor(1, 10_000);
      const asked = new Redis(redis.url);
      expect(await asked.exists('bull:deliveries:meta')).toBe(1);
      asked.disconnect();
    });
    await Promise.all([redis.stop(), receiver.close()]);
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  'with a Redis that is away it says so, accepts events all the same, and stops in time',
  async () => {
    const redisUrl = `redis://127.0.0.1:${await freeLoopbackPort()}`;
    await onTestDatabase('no-redis', redisUrl, async (program) => {
      const client = await clientOf(program);
      expect(program.stdout).toMatch(/NOT READY:\n {2}queue: Redis does not answer\n/);
      expect(await client.sendEvent(await client.newMerchant())).toMatchObject({ deliveries: 0 });
    });
  },
  TEST_TIMEOUT_MS,
);

/** Runs it on a database that is not embedded, and stops it afterwards. */
async function onTestDatabase(
  name: string,
  redisUrl: string,
  use: (program: PosthornProgram) => Promise<void>,
): Promise<void> {
  const database = await createTestDatabase();
  const dataDir = join(temporary, name);
  const environment = { DATABASE_URL: database.databaseUrl, REDIS_URL: redisUrl };
  const program = startStandalone(dataDir, { environment });
  try {
    await use(program);
    await stop(program, () => program.signal('SIGTERM'), dataDir);
    expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
  } finally {
    await program.kill();
    await database.drop();
  }
}

/** Stops it by a signal that is given twice at once, and asserts that it ends well, in time, and leaves nothing running. */
async function stop(program: PosthornProgram, signal: () => void, dataDir: string): Promise<void> {
  const startedMs = performance.now();
  signal();
  // The second one comes while it is stopping, as it does from npm.
  await eventually(() => {
    if (!program.stdout.includes('\nStopping: '))
      throw new Error(`does not stop:\n${program.stdout}${program.stderr}`);
  });
  if (program.hasGroup()) signal();
  const { exitCode, stdout } = await program.ended;
  expect(stdout).toMatch(/\nStopped\. .*\n$/);
  expect(exitCode).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(EXIT_MS_MAX);
  await expectNothingLeft(program, dataDir);
}

/** What it was starting when it was told to stop may need a moment longer to end. */
async function expectNothingLeft(program: PosthornProgram, dataDir: string): Promise<void> {
  await eventually(async () => {
    expect(program.hasGroup()).toBe(false);
    expect(await processesIn(dataDir)).toEqual([]);
  });
}

/** Lines of its log that are warnings or worse. */
function warningsOf({ stderr }: PosthornProgram): string[] {
  return stderr.split('\n').filter((line) => /"level":[4-6]0/.test(line));
}

function expectOneLine({ exitCode, stdout, stderr }: Ended, beginning: string): void {
  expect(stderr.slice(0, beginning.length)).toBe(beginning);
  expect(stderr.trimEnd()).not.toContain('\n');
  expect(stdout).toBe('');
  expect(exitCode).toBe(1);
}

/** The indented commands of the banner, block by block, with another port for the receiver. */
function pastedBlocks(banner: string, port: number): string[] {
  const [, toPaste = ''] = banner.split('To try it, ');
  return [...toPaste.matchAll(/\n\n((?: {2}.*\n)+)/g)].map(([, block = '']) =>
    block.replaceAll('9000', String(port)),
  );
}
