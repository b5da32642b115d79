/** Files that no production code may import, and that may import anything. */
const TEST_CODE = String.raw`\.test\.ts$|-(harness|fixtures)\.ts$|^(test|bench|libs/testkit)/`;
const PROGRAMS = String.raw`^apps/[^/]+/src/(main|migrate|keys-rewrap|audit-verify|with-database|demo)\.ts$`;
const ROOT_MODULES = String.raw`^apps/[^/]+/src/[^/]+\.module\.ts$`;
const PACKAGE = (names) => `(^|/)node_modules/(${names.join('|')})(/|$)`;

const FRAMEWORKS = [
  '@nestjs/[^/]+',
  '@prisma/[^/]+',
  'prisma',
  'bullmq',
  'dataloader',
  'fastify',
  '@fastify/[^/]+',
  'ioredis',
  'nestjs-pino',
  'pg',
  'pino',
  'pino-http',
  'prom-client',
  'reflect-metadata',
  'rxjs',
  'undici',
];

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'domain-imports-nothing-outward',
      comment: 'The domain knows nothing that stands around it: not a step, not an adapter, not an app.',
      severity: 'error',
      from: { path: '^libs/domain/', pathNot: TEST_CODE },
      to: { path: '^(apps|libs|test|bench|scripts)/', pathNot: '^libs/domain/' },
    },
    {
      name: 'domain-is-pure',
      comment: 'No I/O, clock or framework: of Node only what computes. Time and chance are passed in.',
      severity: 'error',
      from: { path: '^libs/domain/', pathNot: TEST_CODE },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|buffer)$' },
    },
    {
      name: 'domain-uses-no-framework',
      comment: 'A rule of ours that needs a framework to be stated is in the wrong place.',
      severity: 'error',
      from: { path: '^libs/domain/', pathNot: TEST_CODE },
      to: { path: PACKAGE(FRAMEWORKS) },
    },
    {
      name: 'pipeline-imports-inward',
      comment:
        'The steps of an event see the domain and their own ports. What stands behind a port is passed in.',
      severity: 'error',
      from: { path: '^libs/pipeline/', pathNot: TEST_CODE },
      to: { path: '^(apps|libs|test|bench|scripts)/', pathNot: '^libs/(pipeline|domain)/' },
    },
    {
      name: 'pipeline-does-no-io',
      comment: 'I/O goes through a port.',
      severity: 'error',
      from: { path: '^libs/pipeline/', pathNot: TEST_CODE },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|buffer|timers(/promises)?|events)$' },
    },
    {
      name: 'pipeline-uses-no-framework',
      comment:
        'Queue, database, HTTP and container are adapters and apps. Data structures (lru-cache) are welcome.',
      severity: 'error',
      from: { path: '^libs/pipeline/', pathNot: TEST_CODE },
      to: { path: PACKAGE(FRAMEWORKS) },
    },
    {
      name: 'adapters-import-inward',
      comment: 'An adapter fills a port; it does not know who uses it.',
      severity: 'error',
      from: { path: '^libs/adapters/', pathNot: TEST_CODE },
      to: { path: '^(apps|libs|test|bench|scripts)/', pathNot: '^libs/(adapters|pipeline|domain)/' },
    },
    {
      name: 'adapters-not-to-each-other',
      comment: 'Two adapters that need each other meet in an app, or the thing that they share is a port.',
      severity: 'error',
      from: { path: '^libs/adapters/src/([^/]+)/', pathNot: TEST_CODE },
      to: { path: '^libs/adapters/src/', pathNot: '^libs/adapters/src/$1/' },
    },
    {
      name: 'observability-imports-inward',
      comment: 'Metrics and logs listen to the steps of an event; what does I/O does not reach for them.',
      severity: 'error',
      from: { path: '^libs/observability/', pathNot: TEST_CODE },
      to: { path: '^(apps|libs|test|bench|scripts)/', pathNot: '^libs/(observability|pipeline|domain)/' },
    },
    {
      name: 'config-stands-alone',
      comment: 'The schema of the environment describes values; it makes no parts of them.',
      severity: 'error',
      from: { path: '^libs/config/', pathNot: TEST_CODE },
      to: { path: '^(apps|libs|test|bench|scripts)/', pathNot: '^libs/(config|domain)/' },
    },
    {
      name: 'config-only-in-roots',
      comment:
        'What puts a process together reads configuration and passes values in; standalone does nothing else.',
      severity: 'error',
      from: {
        path: '^(apps|libs)/',
        pathNot: [TEST_CODE, PROGRAMS, ROOT_MODULES, '^libs/(config|foundation)/', '^apps/standalone/'],
      },
      to: { path: '^libs/config/' },
    },
    {
      name: 'no-lib-imports-an-app',
      comment: 'A library serves programs; it does not know which.',
      severity: 'error',
      from: { path: '^libs/', pathNot: TEST_CODE },
      to: { path: '^(apps|test|bench|scripts)/' },
    },
    {
      name: 'api-and-worker-apart',
      comment:
        'They are deployed apart and meet in PostgreSQL and the queue. Only standalone puts both together.',
      severity: 'error',
      from: { path: '^apps/(api|worker)/', pathNot: TEST_CODE },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'bullmq-behind-the-queue',
      comment:
        'BullMQ types stay in adapters/queue and apps/worker, so that another queue is a folder and not a rewrite.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: [TEST_CODE, '^libs/adapters/src/queue/', '^apps/worker/'] },
      to: { path: PACKAGE(['bullmq', '@nestjs/bullmq']) },
    },
    {
      name: 'ioredis-behind-the-queue-and-redis',
      comment: 'Redis carries the queue and, in adapters/redis, what else the processes share and may lose.',
      severity: 'error',
      from: {
        path: '^(apps|libs)/',
        pathNot: [TEST_CODE, '^libs/adapters/src/(queue|redis)/', '^apps/worker/'],
      },
      to: { path: PACKAGE(['ioredis']) },
    },
    {
      name: 'prisma-behind-postgres',
      comment: 'Prisma types and the generated client stay in adapters/postgres.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: [TEST_CODE, '^libs/adapters/src/postgres/'] },
      to: { path: [PACKAGE(['@prisma/[^/]+', 'prisma']), '^libs/adapters/src/postgres/generated/'] },
    },
    {
      name: 'pg-behind-postgres',
      comment:
        'The driver stays in adapters/postgres, and in adapters/queue for the queue that BullMQ keeps in PostgreSQL.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: [TEST_CODE, '^libs/adapters/src/(postgres|queue)/'] },
      to: { path: PACKAGE(['pg']) },
    },
    {
      name: 'undici-behind-the-sender',
      comment: 'Nothing leaves except through the guarded sender.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: [TEST_CODE, '^libs/adapters/src/http-sender/'] },
      to: { path: PACKAGE(['undici']) },
    },
    {
      name: 'no-test-code-in-production',
      comment: 'Fakes, factories and tests are not shipped.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: TEST_CODE },
      to: { path: TEST_CODE },
    },
    {
      name: 'no-development-package-in-production',
      comment: 'It would be missing from an installation without development dependencies.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: TEST_CODE },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-undeclared-package',
      comment:
        'What is imported is in package.json: a package that another one happens to bring may go at any time.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-cycle',
      comment: 'Files that import each other are one file, or miss a third one.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphan',
      comment: 'Nothing imports it and it imports nothing: it is dead, or its entry point is missing.',
      severity: 'error',
      from: { orphan: true, path: '^(apps|libs)/', pathNot: [TEST_CODE, PROGRAMS, String.raw`\.d\.ts$`] },
      to: {},
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that leads nowhere hides every rule above.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^dist/', '^libs/adapters/src/postgres/generated/'] },
    exclude: { path: ['^test/corpora/'] },
    // Type imports count: a type from outside is a dependency on what is outside.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['posthorn-source', 'import', 'node', 'types', 'default'],
      extensions: ['.ts', '.mts', '.d.ts', '.js', '.mjs', '.json'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
