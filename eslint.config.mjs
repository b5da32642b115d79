import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const TESTS = ['**/*.test.ts', '**/*-{harness,fixtures}.ts', 'test/**', 'libs/testkit/**', 'bench/**'];

/** Nothing leaves except through one guarded sender. Servers may listen; only what connects outwards is refused. */
const GUARDED = 'Only libs/adapters/src/http-sender sends anything: its egress policy would not see this.';
const HTTP_CLIENT_NAMES = ['default', 'request', 'get', 'connect', 'Agent', 'globalAgent', 'ClientRequest'];
const SOCKET_CLIENT_NAMES = ['default', 'connect', 'createConnection', 'Socket', 'TLSSocket'];
const HTTP_CLIENT_MODULES = ['http', 'https', 'http2'].flatMap((name) => [
  { name: `node:${name}`, importNames: HTTP_CLIENT_NAMES, message: GUARDED, allowTypeImports: true },
  { name, message: `Import node:${name}.` },
]);
const SOCKET_CLIENT_MODULES = ['net', 'tls'].flatMap((name) => [
  { name: `node:${name}`, importNames: SOCKET_CLIENT_NAMES, message: GUARDED, allowTypeImports: true },
  { name, message: `Import node:${name}.` },
]);
/** Well-known ones, so that the one that somebody installs one day is refused by name. */
const HTTP_CLIENT_PACKAGES = [
  ...['@nestjs/axios', 'axios', 'cross-fetch', 'follow-redirects', 'got', 'ky', 'needle', 'node-fetch'],
  ...['ofetch', 'phin', 'request', 'superagent', 'undici-types', 'wretch', 'ws', 'nodemailer'],
].map((name) => ({ name, message: GUARDED }));
const OUTGOING_MODULES = [
  { name: 'undici', message: GUARDED, allowTypeImports: true },
  ...HTTP_CLIENT_PACKAGES,
  ...HTTP_CLIENT_MODULES,
  ...SOCKET_CLIENT_MODULES,
  { name: 'node:dgram', message: GUARDED, allowTypeImports: true },
];
const OUTGOING_GROUPS = [{ group: ['undici/*', 'axios/*', 'got/*'], message: GUARDED }];
const OUTGOING_GLOBALS = ['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'];

/** The guarded sender itself: one undici client over a socket that it has opened and checked, and nothing beside. */
const SENDER =
  'The sender uses undici’s Client on sockets of its own: this would connect to what nobody has judged.';
const SENDER_MODULES = [
  { name: 'undici', allowImportNames: ['Client', 'errors', 'Dispatcher'], message: SENDER },
  ...HTTP_CLIENT_PACKAGES,
  ...HTTP_CLIENT_MODULES,
];

/** A module that is named while the program runs is one that no rule about imports sees. */
const HIDDEN_MODULES = '^(node:)?(http|https|http2|net|tls|dgram)$|^(undici|axios|got|node-fetch)';
const NO_HIDDEN_IMPORTS = [
  {
    selector: `ImportExpression[source.value=/${HIDDEN_MODULES}/]`,
    message: GUARDED,
  },
  { selector: "MemberExpression[property.name='getBuiltinModule']", message: GUARDED },
  {
    selector: `CallExpression[callee.name='require'][arguments.0.value=/${HIDDEN_MODULES}/]`,
    message: GUARDED,
  },
];

const ENVIRONMENT = 'Only libs/config and programs read the environment: take the value as a parameter.';
const ENVIRONMENT_MODULES = [
  { name: 'node:process', importNames: ['env', 'default'], message: ENVIRONMENT },
  { name: 'process', message: 'Use the global `process`.' },
];
const ENVIRONMENT_PROPERTIES = [
  { object: 'process', property: 'env', message: ENVIRONMENT },
  { object: 'globalThis', property: 'process', message: ENVIRONMENT },
];

const ALWAYS_MODULES = [
  {
    name: '@nestjs/common',
    importNames: ['forwardRef'],
    message: 'A cycle is a missing third part: find it.',
  },
];

/** What a file may not reach for, as the rules that say so; a later block replaces all of them together. */
function reach({ mayConnect, isSender = false, mayReadEnvironment }) {
  const modules = [
    ...ALWAYS_MODULES,
    ...(mayConnect ? [] : isSender ? SENDER_MODULES : OUTGOING_MODULES),
    ...(mayReadEnvironment ? [] : ENVIRONMENT_MODULES),
  ];
  const properties = [
    ...(mayConnect
      ? []
      : OUTGOING_GLOBALS.flatMap((property) =>
          ['globalThis', 'global', 'self'].map((object) => ({ object, property, message: GUARDED })),
        )),
    ...(mayReadEnvironment ? [] : ENVIRONMENT_PROPERTIES),
  ];
  return {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      { paths: modules, patterns: mayConnect || isSender ? [] : OUTGOING_GROUPS },
    ],
    'no-restricted-syntax': ['error', NO_STAR_EXPORT, ...(mayConnect ? [] : NO_HIDDEN_IMPORTS)],
    'no-restricted-properties': properties.length === 0 ? 'off' : ['error', ...properties],
    'no-restricted-globals': mayConnect
      ? 'off'
      : ['error', ...OUTGOING_GLOBALS.map((name) => ({ name, message: GUARDED }))],
  };
}

const NO_STAR_EXPORT = {
  selector: 'ExportAllDeclaration',
  message: 'No barrels: import from the file that declares the name.',
};

/** The domain is given time, chance and everything else. */
const PURE = 'The domain has no clock, chance or environment of its own: take the value as a parameter.';
const PURITY = {
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: PURE },
    { object: 'Math', property: 'random', message: PURE },
  ],
  'no-restricted-globals': [
    'error',
    ...[
      'globalThis',
      'process',
      'performance',
      'crypto',
      'setTimeout',
      'setInterval',
      'setImmediate',
      'queueMicrotask',
    ].map((name) => ({ name, message: PURE })),
    ...OUTGOING_GLOBALS.map((name) => ({ name, message: PURE })),
  ],
  'no-restricted-syntax': [
    'error',
    NO_STAR_EXPORT,
    { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: PURE },
  ],
};

export default defineConfig(
  globalIgnores([
    'dist/',
    'coverage/',
    '.posthorn/',
    'test/corpora/',
    'libs/adapters/src/postgres/generated/',
    'libs/client/src/generated/',
  ]),
  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },
  js.configs.recommended,
  {
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      eqeqeq: 'error',
      'no-restricted-exports': [
        'error',
        { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } },
      ],
      'no-restricted-syntax': ['error', NO_STAR_EXPORT],
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      ...reach({ mayConnect: false, mayReadEnvironment: false }),
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        // A default branch must not swallow a member that somebody adds to a union later.
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],
      // Reads emitDecoratorMetadata from tsconfig.json: a class that Nest injects by type stays a value import.
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `() => socket.destroy()` says it all; a value that is lost in a statement is still found.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // It does not know the type argument of a call, as in `Promise.withResolvers<void>()`.
      '@typescript-eslint/no-invalid-void-type': 'off',
      // It would ask for `!`, which no-non-null-assertion refuses.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      // `while (true)` and `for (;;)` with a return inside are plain loops.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
    },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      // The lint runs on the Node that the scripts run on, so that its globals are theirs.
      globals: Object.fromEntries(Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly'])),
    },
  },
  { files: ['libs/domain/src/**/*.ts'], ignores: TESTS, rules: PURITY },
  {
    // Nest declares the options of an application as classes, and wants object literals.
    files: ['apps/**/*.ts'],
    rules: { '@typescript-eslint/no-unsafe-class-instance-assignment': 'off' },
  },
  {
    files: ['libs/adapters/src/http-sender/**'],
    rules: reach({ mayConnect: false, isSender: true, mayReadEnvironment: false }),
  },
  { files: ['libs/config/**'], rules: reach({ mayConnect: false, mayReadEnvironment: true }) },
  {
    files: ['apps/*/src/{main,migrate,keys-rewrap,audit-verify,with-database}.ts', '**/*.config.ts'],
    rules: reach({ mayConnect: false, mayReadEnvironment: true }),
  },
  {
    // The demo is a client of the API and stands outside the server.
    files: [...TESTS, 'apps/standalone/src/demo.ts', 'apps/standalone/src/demo/**', 'scripts/**'],
    rules: reach({ mayConnect: true, mayReadEnvironment: true }),
  },
  {
    // Tools load what these export by default.
    files: [
      '*.config.{ts,mjs}',
      '.dependency-cruiser.mjs',
      'test/global-*.mjs',
      'test/*-reporter.mjs',
      '**/vite.config.ts',
    ],
    rules: { 'no-restricted-exports': 'off' },
  },
  {
    // Outside tsconfig.json: a tool compiles it by itself.
    files: ['*.config.ts'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { parserOptions: { projectService: false } },
  },
  {
    files: [
      '{apps,libs,test,bench}/**/index.{ts,mts,tsx,js,mjs}',
      '{apps,libs,test,bench}/**/{common,utils,util,helpers}/**',
    ],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'Program',
          message:
            'No barrels (index.ts), and no folder called common or utils: name the file for what it holds.',
        },
      ],
    },
  },
);
