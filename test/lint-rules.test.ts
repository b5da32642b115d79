import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';

// The rules of eslint.config.mjs that hold the project's own promises, on texts that break them. Each text takes the
// place of a file that exists, because type-aware rules need one that belongs to the project. ESLint runs in a process
// of its own, on the configuration that `npm run verify` uses.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SENDING = `import { request } from 'undici';\nexport const send = request;\n`;
const ENVIRONMENT = `export const url = process.env['DATABASE_URL'];\n`;
const FLOATING = `async function work(): Promise<void> { await Promise.resolve(); }\nexport function start(): void { work(); }\n`;

/** Every way to send that is known, past the sender: each a line that has to be refused. */
const OUTGOING = [
  ...[
    ...[
      '{ request as a } from "undici"',
      '{ fetch as b } from "undici"',
      '* as c from "undici"',
      'd from "undici/lib/api"',
    ],
    ...['{ request as e } from "node:http"', '{ get as f } from "node:https"', 'g from "node:http"'],
    ...[
      '{ Agent as h } from "node:https"',
      '{ connect as i } from "node:http2"',
      '{ request as j } from "http"',
    ],
    ...[
      '* as k from "https"',
      '{ connect as l } from "node:net"',
      '{ createConnection as m } from "node:net"',
    ],
    ...[
      '{ Socket as n } from "node:net"',
      '{ connect as o } from "node:tls"',
      'p from "net"',
      'q from "node:dgram"',
    ],
    ...[
      'r from "axios"',
      's from "got"',
      't from "node-fetch"',
      'u from "ky"',
      'v from "superagent"',
      'w from "ws"',
    ],
    ...['{ HttpService as x } from "@nestjs/axios"', 'y from "follow-redirects"'],
  ].map((names) => `import ${names};`),
  `export { request } from 'undici';`,
  `export const dynamic = import('undici');`,
  `export const dynamicHttps = import('node:https');`,
  `export const required = require('undici') as unknown;`,
  `export const builtin = process.getBuiltinModule('node:http');`,
  `export const global1 = fetch('https://example.com');`,
  `export const global2 = new WebSocket('wss://example.com');`,
  `export const global3 = globalThis['fetch']('https://example.com');`,
  `export const global4 = global.fetch('https://example.com');`,
  `export const { fetch: global5 } = globalThis;`,
];
const GUARDS = /^(@typescript-eslint\/no-restricted-imports|no-restricted-(syntax|globals|properties))$/;

const TEXTS: readonly (readonly [rule: string | null, file: string, text: string])[] = [
  ['@typescript-eslint/no-restricted-imports', 'libs/pipeline/src/sender.ts', SENDING],
  [
    '@typescript-eslint/no-restricted-imports',
    'apps/api/src/create-api.ts',
    `import { request } from 'node:https';\nexport const r = request;\n`,
  ],
  [
    '@typescript-eslint/no-restricted-imports',
    'apps/worker/src/sweeps.ts',
    `import * as net from 'node:net';\nexport const n = net.connect;\n`,
  ],
  [
    null,
    'apps/worker/src/sweeps.ts',
    `import { createServer } from 'node:http';\nexport const server = createServer();\n`,
  ],
  [
    null,
    'libs/adapters/src/http-sender/connection.ts',
    `import { Client } from 'undici';\nexport const c = Client;\n`,
  ],
  [
    null,
    'libs/adapters/src/http-sender/open-socket.ts',
    `import { connect } from 'node:net';\nexport const c = connect;\n`,
  ],
  ['@typescript-eslint/no-restricted-imports', 'libs/adapters/src/http-sender/undici-sender.ts', SENDING],
  [
    '@typescript-eslint/no-restricted-imports',
    'libs/adapters/src/http-sender/undici-sender.ts',
    `import { get } from 'node:http';\nexport const g = get;\n`,
  ],
  [
    'no-restricted-globals',
    'libs/adapters/src/http-sender/undici-sender.ts',
    `export const answer = fetch('https://example.com');\n`,
  ],
  [
    'no-restricted-globals',
    'apps/api/src/create-api.ts',
    `export const answer = fetch('https://example.com');\n`,
  ],
  [
    'no-restricted-properties',
    'apps/api/src/create-api.ts',
    `export const answer = globalThis.fetch('https://example.com');\n`,
  ],
  [null, 'test/boundaries.test.ts', `export const answer = fetch('http://127.0.0.1');\n`],
  ['no-restricted-properties', 'libs/adapters/src/postgres/database.ts', ENVIRONMENT],
  ['no-restricted-properties', 'apps/api/src/create-api.ts', ENVIRONMENT],
  [null, 'libs/config/src/environment.ts', ENVIRONMENT],
  [null, 'apps/api/src/main.ts', ENVIRONMENT],
  ['no-restricted-properties', 'libs/domain/src/ids.ts', `export const now = (): number => Date.now();\n`],
  ['no-restricted-syntax', 'libs/domain/src/ids.ts', `export const now = (): Date => new Date();\n`],
  [null, 'libs/domain/src/ids.ts', `export const at = (ms: number): Date => new Date(ms);\n`],
  ['no-restricted-syntax', 'libs/domain/src/ids.ts', `export * from './secret.js';\n`],
  ['no-restricted-exports', 'libs/domain/src/ids.ts', `export default 1;\n`],
  ['no-restricted-syntax', 'test/index.mjs', `export const one = 1;\n`],
  ['no-restricted-syntax', 'libs/domain/src/utils/strings.mjs', `export const one = 1;\n`],
  ['@typescript-eslint/no-floating-promises', 'libs/pipeline/src/settle.ts', FLOATING],
  [
    '@typescript-eslint/no-explicit-any',
    'libs/pipeline/src/settle.ts',
    `export const settle = (value: any): boolean => value === 1;\n`,
  ],
  [
    '@typescript-eslint/switch-exhaustiveness-check',
    'libs/pipeline/src/settle.ts',
    `export function f(kind: 'a' | 'b'): number {\n  switch (kind) {\n    case 'a':\n      return 1;\n    default:\n      return 2;\n  }\n}\n`,
  ],
];

describe('eslint.config.mjs', () => {
  let found: readonly (readonly Finding[])[];
  beforeAll(async () => {
    const outgoing = { filePath: 'apps/worker/src/sweeps.ts', text: `${OUTGOING.join('\n')}\n` };
    found = await lint([...TEXTS.map(([, filePath, text]) => ({ filePath, text })), outgoing]);
  }, 60_000);
  const rulesOf = (index: number): string[] => [...new Set(found[index]?.map(({ rule }) => rule))];

  const cases = TEXTS.map(([rule, file, text], index) => ({ rule, file, text, index }));

  test.each(cases.filter(({ rule }) => rule !== null))('$rule in $file: $text', ({ rule, index }) => {
    expect(rulesOf(index)).toEqual([rule]);
  });

  test.each(OUTGOING.map((text, index) => ({ text, line: index + 1 })))(
    'past the sender: $text',
    ({ line }) => {
      const rules = found[TEXTS.length]?.filter((finding) => finding.line === line).map(({ rule }) => rule);
      expect(rules).toContainEqual(expect.stringMatching(GUARDS));
    },
  );

  test.each(cases.filter(({ rule }) => rule === null))('nothing in $file: $text', ({ index }) => {
    expect(found[index]).toEqual([]);
  });
});

interface Finding {
  /** Or what the parser says. */
  readonly rule: string;
  readonly line: number;
}

/** What is wrong with each text. */
async function lint(
  texts: readonly { readonly filePath: string; readonly text: string }[],
): Promise<readonly (readonly Finding[])[]> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', LINTER], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(texts));
  const [output] = await Promise.all([json(child.stdout), once(child, 'close')]);
  return output as readonly (readonly Finding[])[];
}

const LINTER = `
  import { json } from 'node:stream/consumers';
  import { ESLint } from 'eslint';
  const eslint = new ESLint();
  const found = [];
  for (const { filePath, text } of await json(process.stdin)) {
    const [{ messages }] = await eslint.lintText(text, { filePath });
    found.push(messages.map(({ ruleId, message, line }) => ({ rule: ruleId ?? message, line })));
  }
  console.log(JSON.stringify(found));
`;
