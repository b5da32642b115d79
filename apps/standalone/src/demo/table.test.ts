import { expect, test } from '@jest/globals';
import { type Column, formatTable } from './table.js';

test('columns are as wide as their widest cell, whatever its colours', () => {
  const columns: readonly Column<{ name: string; n: number }>[] = [
    { title: 'NAME', cell: ({ name }) => `\u001B[32m${name}\u001B[39m` },
    { title: 'N', align: 'right', cell: ({ n }) => String(n) },
  ];
  const rows = [
    { name: 'a', n: 5 },
    { name: 'longer', n: 1000 },
  ];
  expect(formatTable(columns, rows, (title) => `<${title}>`)).toEqual([
    '<NAME       N>',
    '\u001B[32ma\u001B[39m          5',
    '\u001B[32mlonger\u001B[39m  1000',
  ]);
  expect(formatTable(columns, [])).toEqual(['NAME  N']);
});
