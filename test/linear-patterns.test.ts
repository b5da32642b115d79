import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import ts from 'typescript';

// That none of our own regular expressions can be made to backtrack: each one that stands in the server's sources runs
// over long texts made of what it is itself made of, repeated, with an end that spoils the match. A pattern that takes
// quadratic time over these lengths takes seconds, a linear one microseconds. What users write is never run as a pattern:
// the patterns that are made while the server runs are listed below.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = ['apps/api/src', 'apps/worker/src', 'libs'];
const NOT_SERVED =
  /\.test\.ts$|\/testkit\/|\/generated\/|-fixtures\.ts$|-harness\.ts$|\/postgres\/migrate\.ts$|\/embedded\//;

/**
 * In this order: what takes exponential time shows it over a text of which it comes to an end at all. The longest is more
 * than Node takes of headers and a path together.
 */
const TEXT_LENGTHS = [26, 2_000, 20_000];
/** What a quadratic pattern exceeds thirty times over, and a linear one stays under. Of this thread's CPU: the machine may be busy. */
const MATCH_MS_MAX = 50;

interface Found {
  readonly place: string;
  readonly pattern: string;
  readonly flags: string;
}

async function sources(): Promise<string[]> {
  const lists = await Promise.all(
    SOURCES.map(async (folder) =>
      (await readdir(`${ROOT}${folder}`, { recursive: true })).map((name) => `${folder}/${name}`),
    ),
  );
  return lists.flat().filter((path) => path.endsWith('.ts') && !NOT_SERVED.test(path));
}

/** The regular expressions of a file, and the places where it makes one of a text. */
async function patternsOf(path: string): Promise<{ literals: Found[]; made: string[] }> {
  const file = ts.createSourceFile(path, await readFile(`${ROOT}${path}`, 'utf8'), ts.ScriptTarget.ESNext);
  const literals: Found[] = [];
  const made: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/');
      literals.push({ place: path, pattern: node.text.slice(1, end), flags: node.text.slice(end + 1) });
    }
    if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && node.expression.getText(file) === 'RegExp')
      made.push(path);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return { literals, made };
}

/** The longest runs of plain characters in a pattern: what a text has to begin with to get far into it. */
function literalsIn(pattern: string): string[] {
  const plain = pattern.replace(/\[[^\]]*\]|\\[a-zA-Z]|[\^$(){}|?*+.]|\\/g, '\0').split('\0');
  return [...new Set(plain.filter((run) => run.length > 1))];
}

const CHARACTERS = [
  ' ',
  '\t',
  '\n',
  'a',
  'A',
  '0',
  '-',
  '.',
  ';',
  ',',
  '*',
  '"',
  '_',
  '/',
  ':',
  '\u00a0',
  '\u00e9',
];
const UNITS = [...CHARACTERS, 'a ', ' a', 'a.', '.a', '; ', ' ;', '0-', 'a,', '", ', 'a/', '%41', '\n '];
const ENDS = ['\0', '!', ' \u00a0'];

function* attacks(pattern: string, length: number): Generator<string> {
  const runs = literalsIn(pattern);
  const starts = ['', ...runs, runs.join(''), runs.join(' '), ...runs.map((run) => `${run} `)];
  const units = [...UNITS, ...runs, ...runs.map((run) => `; ${run}`)];
  for (const start of new Set(starts)) {
    for (const unit of units) {
      const repeated = unit.repeat(Math.ceil(length / unit.length));
      for (const end of ENDS) yield start + repeated + end;
    }
  }
}

/** The text over which a pattern takes too long, and how long; null: none does. */
function slowest({ pattern, flags }: Pick<Found, 'pattern' | 'flags'>): { text: string; ms: number } | null {
  const regExp = new RegExp(pattern, flags.replace('g', ''));
  const matchMs = (text: string): number => {
    const before = process.threadCpuUsage();
    regExp.test(text);
    return process.threadCpuUsage(before).user / 1_000;
  };
  for (const length of TEXT_LENGTHS) {
    for (const text of attacks(pattern, length)) {
      const ms = matchMs(text);
      if (ms > MATCH_MS_MAX) return { text, ms };
    }
  }
  return null;
}

test.each(['^(a+)+$', '^(?:a|a)*;$', '\\s+$', '(.*)a(.*)b!x'])('%s is found out', (pattern) => {
  expect(slowest({ pattern, flags: '' })).not.toBeNull();
});

test('every pattern of the server is linear', async () => {
  const found = (await Promise.all((await sources()).map(patternsOf))).flatMap(({ literals }) => literals);
  expect(found.length).toBeGreaterThan(25);
  const slow = found.flatMap((each) => {
    const worst = slowest(each);
    return worst === null
      ? []
      : [
          `${each.place}: /${each.pattern}/ took ${worst.ms} ms over ${JSON.stringify(worst.text.slice(0, 60))}`,
        ];
  });
  expect(slow).toEqual([]);
}, 60_000);

test('patterns are made of nothing that a client sends', async () => {
  const made = (await Promise.all((await sources()).map(patternsOf))).flatMap((each) => each.made);
  // Of the routes that the server itself has.
  expect(made).toEqual(['apps/api/src/http/route-table.ts']);
});
