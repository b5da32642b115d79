import { stripVTControlCharacters } from 'node:util';
import { expect, test } from '@jest/globals';
import { createLogger } from '#observability/logger.js';
import { logDestination } from './terminal-log.js';

function logged(isTTY: boolean): string {
  let written = '';
  const output = { isTTY, write: (text: string) => (written += text) };
  const logger = createLogger({ level: 'info', name: 'test', destination: logDestination(output) });
  logger.info('made 27 partitions');
  logger.warn({ err: new Error('connect ECONNREFUSED') }, 'the queue is away');
  logger.error({ err: new Error('our fault') }, 'a sweep failed');
  return stripVTControlCharacters(written);
}

test('a person at a terminal gets lines, with a stack only for what went wrong', () => {
  const [info, warning, error, ...stack] = logged(true).trimEnd().split('\n');
  expect(info).toMatch(/^\d\d:\d\d:\d\d made 27 partitions$/);
  expect(warning).toMatch(/^\d\d:\d\d:\d\d warning: the queue is away: connect ECONNREFUSED$/);
  expect(error).toMatch(/^\d\d:\d\d:\d\d error: a sweep failed: our fault$/);
  expect(stack.length).toBeGreaterThan(0);
  for (const frame of stack) expect(frame).toMatch(/^ +at /);
});

test('anything else gets the JSON lines', () => {
  const lines = logged(false).trimEnd().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
    'made 27 partitions',
    'the queue is away',
    'a sweep failed',
  ]);
});
