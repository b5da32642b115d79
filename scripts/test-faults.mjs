import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, pinnedNode, ROOT, run } from './toolchain.mjs';

const RECORDS = join(ROOT, 'node_modules', '.cache', 'posthorn-faults');
const TABLE_FILE = join(ROOT, 'node_modules', '.cache', 'faults.json');

await ensureInstalled();
await ensureBuilt();
rmSync(RECORDS, { recursive: true, force: true });
mkdirSync(RECORDS, { recursive: true });
const code = await run(pinnedNode(), [
  // Jest loads ES modules through node:vm only.
  '--experimental-vm-modules',
  '--no-warnings',
  'node_modules/jest/bin/jest.js',
  '--config',
  'jest.faults.config.mjs',
  ...process.argv.slice(2),
]);
const records = readdirSync(RECORDS)
  .sort()
  .map((name) => JSON.parse(readFileSync(join(RECORDS, name), 'utf8')));
writeFileSync(TABLE_FILE, JSON.stringify(records, null, 2));
process.stdout.write(`\n${tableOf(records)}\n`);
process.exit(code);

/** Lost and duplicates are numbers of events and requests; recovery counts from the end of the fault. */
function tableOf(records) {
  const rows = records.map(({ fault, lost, duplicates, recoveryMs }) => [
    fault,
    String(lost),
    String(duplicates),
    recoveryMs === null ? '-' : `${seconds(recoveryMs.p50)} / ${seconds(recoveryMs.max)}`,
  ]);
  const all = [['fault', 'lost', 'duplicates', 'recovery p50 / max, s'], ...rows];
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const lines = all.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`);
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

function seconds(milliseconds) {
  return (milliseconds / 1_000).toFixed(1);
}
