import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

// The rules of .dependency-cruiser.mjs on trees that are made to break them, run as `npm run verify` runs them: through
// the command line, with the repository's own tsconfig.json and package.json, whose aliases the imports go through.
// Packages are empty stand-ins, since only their names matter. The repository itself is not cruised here; verify does it.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CONFIGURATION = join(ROOT, '.dependency-cruiser.mjs');
const CRUISER = join(ROOT, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruiser.mjs');

type Tree = Readonly<Record<string, string>>;
interface Violation {
  readonly rule: { readonly name: string };
  readonly from: string;
}

/** A file of every place, as the rules want it. */
const GOOD: Tree = {
  'libs/domain/src/ids.ts': `import { randomUUID } from 'node:crypto'; export const id = () => randomUUID();`,
  'libs/pipeline/src/accept.ts': `import { LRUCache } from 'lru-cache'; import { id } from '#domain/ids.js'; export const accept = () => [LRUCache, id];`,
  'libs/adapters/src/postgres/database.ts': `import { PrismaPg } from '@prisma/adapter-pg'; import { accept } from '#pipeline/accept.js'; export const database = [PrismaPg, accept];`,
  'libs/adapters/src/queue/queue.ts': `import { Queue } from 'bullmq'; import pg from 'pg'; import { id } from '#domain/ids.js'; export const queue = [Queue, pg, id];`,
  'libs/adapters/src/http-sender/sender.ts': `import { request } from 'undici'; import { connect } from 'node:net'; export const send = [request, connect];`,
  'libs/adapters/src/redis/counters.ts': `import { Redis } from 'ioredis'; export const counters = Redis;`,
  'libs/config/src/config.ts': `import { z } from 'zod'; export const config = z;`,
  'libs/foundation/src/foundation.ts': `import { config } from '#config/config.js'; import { queue } from '#adapters/queue/queue.js'; import { counters } from '#adapters/redis/counters.js'; export const foundation = [config, queue, counters];`,
  'libs/observability/src/metrics.ts': `import type { accept } from '#pipeline/accept.js'; export type Metrics = typeof accept;`,
  'libs/testkit/src/receiver.ts': `import { createServer } from 'node:http'; export const receiver = createServer;`,
  'libs/adapters/src/queue/queue.test.ts': `import { queue } from './queue.js'; import { database } from '#adapters/postgres/database.js'; import { receiver } from '#testkit/receiver.js'; export const used = [queue, database, receiver];`,
  'apps/api/src/api.module.ts': `import { Module } from '@nestjs/common'; import { database } from '#adapters/postgres/database.js'; export const api = [Module, database];`,
  'apps/api/src/main.ts': `import { config } from '#config/config.js'; import { foundation } from '#foundation/foundation.js'; import { api } from './api.module.js'; export const main = [config, foundation, api];`,
  'apps/worker/src/worker.module.ts': `import { Worker } from 'bullmq'; import { queue } from '#adapters/queue/queue.js'; import { send } from '#adapters/http-sender/sender.js'; export const worker = [Worker, queue, send];`,
  'apps/standalone/src/main.ts': `import type { Metrics } from '#observability/metrics.js'; import { api } from '#api/api.module.js'; import { worker } from '#worker/worker.module.js'; export const main: [Metrics?] = [api, worker];`,
  'test/whole.test.ts': `import { receiver } from '#testkit/receiver.js'; export const used = receiver;`,
};

/** What breaks each rule: the rule, the file and what stands in it, beside the good tree. */
const BREACHES: readonly (readonly [rule: string, file: string, source: string])[] = [
  ['domain-imports-nothing-outward', 'libs/domain/src/to-step.ts', `import '#pipeline/accept.js';`],
  ['domain-imports-nothing-outward', 'libs/domain/src/to-adapter.ts', `import '#adapters/queue/queue.js';`],
  [
    'domain-imports-nothing-outward',
    'libs/domain/src/to-config.ts',
    `import type { config } from '#config/config.js'; export type C = typeof config;`,
  ],
  [
    'domain-is-pure',
    'libs/domain/src/reads-file.ts',
    `import { readFile } from 'node:fs/promises'; export const read = readFile;`,
  ],
  [
    'domain-is-pure',
    'libs/domain/src/connects.ts',
    `import { connect } from 'node:net'; export const open = connect;`,
  ],
  ['domain-is-pure', 'libs/domain/src/requests.ts', `export const http = await import('node:http');`],
  [
    'domain-uses-no-framework',
    'libs/domain/src/injects.ts',
    `import { Injectable } from '@nestjs/common'; export const i = Injectable;`,
  ],
  [
    'pipeline-imports-inward',
    'libs/pipeline/src/to-adapter.ts',
    `import type { queue } from '#adapters/queue/queue.js'; export type Q = typeof queue;`,
  ],
  ['pipeline-imports-inward', 'libs/pipeline/src/to-app.ts', `import '#worker/worker.module.js';`],
  [
    'pipeline-does-no-io',
    'libs/pipeline/src/spawns.ts',
    `import { spawn } from 'node:child_process'; export const s = spawn;`,
  ],
  [
    'pipeline-uses-no-framework',
    'libs/pipeline/src/queues.ts',
    `import { Queue } from 'bullmq'; export const q = Queue;`,
  ],
  [
    'pipeline-uses-no-framework',
    'libs/pipeline/src/queries.ts',
    `import type { PrismaPg } from '@prisma/adapter-pg'; export type P = PrismaPg;`,
  ],
  ['adapters-import-inward', 'libs/adapters/src/queue/to-app.ts', `import '#api/api.module.js';`],
  [
    'adapters-not-to-each-other',
    'libs/adapters/src/queue/to-postgres.ts',
    `import '#adapters/postgres/database.js';`,
  ],
  [
    'adapters-not-to-each-other',
    'libs/adapters/src/queue/to-sender.ts',
    `import '../http-sender/sender.js';`,
  ],
  [
    'observability-imports-inward',
    'libs/observability/src/to-adapter.ts',
    `import '#adapters/queue/queue.js';`,
  ],
  ['config-stands-alone', 'libs/config/src/to-step.ts', `import '#pipeline/accept.js';`],
  ['config-only-in-roots', 'apps/api/src/events/reads-config.ts', `import '#config/config.js';`],
  ['config-only-in-roots', 'apps/api/src/events/events.module.ts', `import '#config/config.js';`],
  ['config-only-in-roots', 'libs/adapters/src/postgres/reads-config.ts', `import '#config/config.js';`],
  ['no-lib-imports-an-app', 'libs/foundation/src/to-app.ts', `import '#api/api.module.js';`],
  ['api-and-worker-apart', 'apps/api/src/to-worker.ts', `import '#worker/worker.module.js';`],
  ['api-and-worker-apart', 'apps/worker/src/to-api.ts', `import '#api/api.module.js';`],
  [
    'bullmq-behind-the-queue',
    'apps/api/src/queues.ts',
    `import { Queue } from 'bullmq'; export const q = Queue;`,
  ],
  [
    'bullmq-behind-the-queue',
    'libs/adapters/src/postgres/queues.ts',
    `import type { Job } from 'bullmq'; export type J = Job;`,
  ],
  [
    'ioredis-behind-the-queue-and-redis',
    'apps/api/src/counters.ts',
    `import { Redis } from 'ioredis'; export const r = Redis;`,
  ],
  [
    'prisma-behind-postgres',
    'apps/api/src/queries.ts',
    `import { PrismaPg } from '@prisma/adapter-pg'; export const p = PrismaPg;`,
  ],
  [
    'prisma-behind-postgres',
    'apps/api/src/generated.ts',
    `import type { PrismaClient } from '#adapters/postgres/generated/client.js'; export type P = PrismaClient;`,
  ],
  ['pg-behind-postgres', 'apps/worker/src/queries.ts', `import pg from 'pg'; export const p = pg;`],
  [
    'undici-behind-the-sender',
    'apps/worker/src/sends.ts',
    `import { request } from 'undici'; export const r = request;`,
  ],
  ['no-test-code-in-production', 'apps/api/src/fakes.ts', `import '#testkit/receiver.js';`],
  ['no-test-code-in-production', 'apps/worker/src/tests.ts', `import '../../../test/whole.test.js';`],
  [
    'no-development-package-in-production',
    'libs/pipeline/src/checks.ts',
    `import fc from 'fast-check'; export const f = fc;`,
  ],
  [
    'no-undeclared-package',
    'libs/pipeline/src/undeclared.ts',
    `import left from 'left-pad'; export const l = left;`,
  ],
  [
    'no-cycle',
    'libs/domain/src/chicken.ts',
    `import { egg } from './egg.js'; export const chicken = () => egg;`,
  ],
  ['no-orphan', 'libs/pipeline/src/forgotten.ts', `export const forgotten = 1;`],
  ['no-unresolvable', 'apps/api/src/lost.ts', `import '#domain/nowhere.js';`],
];

/** What breaches import and the good tree does not have. */
const BYSTANDERS: Tree = {
  'libs/domain/src/egg.ts': `import { chicken } from './chicken.js'; export const egg = () => chicken;`,
  'libs/adapters/src/postgres/generated/client.ts': `export class PrismaClient {}`,
};

const PACKAGES = [
  '@nestjs/common',
  '@prisma/adapter-pg',
  'bullmq',
  'fast-check',
  'ioredis',
  'left-pad',
  'lru-cache',
  'pg',
  'undici',
  'zod',
];

const trees: string[] = [];
afterAll(() => Promise.all(trees.map((tree) => rm(tree, { recursive: true, force: true }))));

test('a tree that keeps the rules has no violation', async () => {
  expect(await cruise(GOOD)).toEqual([]);
}, 30_000);

describe('a tree that breaks them all', () => {
  let violations: Set<string>;
  beforeAll(async () => {
    const broken = Object.fromEntries(BREACHES.map(([, file, source]) => [file, source]));
    violations = new Set((await cruise({ ...GOOD, ...BYSTANDERS, ...broken })).map(describeViolation));
  }, 30_000);

  test.each(BREACHES)('%s is found in %s', (rule, file) => {
    expect(violations).toContain(`${rule}: ${file}`);
  });

  test('has no violation in a file that keeps them', () => {
    const clean = [...violations].filter((violation) =>
      Object.keys(GOOD).some((file) => violation.endsWith(` ${file}`)),
    );
    expect(clean).toEqual([]);
  });
});

test('every rule has a tree that breaks it', async () => {
  const { default: config } = (await import(CONFIGURATION)) as {
    default: { readonly forbidden: readonly { readonly name: string }[] };
  };
  const rules = config.forbidden.map(({ name }) => name);
  expect(rules.toSorted()).toEqual([...new Set(BREACHES.map(([rule]) => rule))].toSorted());
});

function describeViolation({ rule, from }: Violation): string {
  return `${rule.name}: ${from}`;
}

async function cruise(files: Tree): Promise<readonly Violation[]> {
  const tree = await mkdtemp(join(tmpdir(), 'posthorn-boundaries-'));
  trees.push(tree);
  const stubs = PACKAGES.flatMap((name) => [
    [`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' })],
    [`node_modules/${name}/index.js`, ''],
  ]);
  for (const [path, content] of [...Object.entries(files), ...stubs] as [string, string][]) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content);
  }
  for (const path of ['package.json', 'tsconfig.json', '.dependency-cruiser.mjs']) {
    await cp(join(ROOT, path), join(tree, path));
  }
  const args = [
    CRUISER,
    '--config',
    '.dependency-cruiser.mjs',
    '--output-type',
    'json',
    'apps',
    'libs',
    'test',
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: tree,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  const { summary } = JSON.parse(stdout) as { summary: { violations: Violation[] } };
  return summary.violations;
}

/** The report of the largest tree here is some hundred kilobytes. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
