import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SUMMARY_FILE = fileURLToPath(new URL('../node_modules/.cache/test-summary.json', import.meta.url));

/** How a skipped suite says why, at the end of its name: `on Redis [skipped: no redis-server on the PATH]`. */
const REASON = /\[skipped: ([^\]]+)\]/;

/**
 * Counts tests by kind, names the skipped ones, and ends the run with one line that people and .ci/run read alike. A
 * file that could not be loaded counts as one failed test, since nobody knows how many it holds.
 */
export default class SummaryReporter {
  onRunComplete(_contexts, { testResults }) {
    const kinds = {};
    const skippedTests = [];
    for (const file of testResults) {
      const path = relative(ROOT, file.testFilePath).replaceAll('\\', '/');
      const counts = (kinds[kindOf(path)] ??= { passed: 0, failed: 0, skipped: 0 });
      if (file.testExecError !== undefined && file.testExecError !== null) counts.failed += 1;
      for (const { status, fullName } of file.testResults) {
        const verdict = VERDICTS[status] ?? 'skipped';
        counts[verdict] += 1;
        if (verdict === 'skipped')
          skippedTests.push({ file: path, name: fullName, reason: reasonOf(fullName) });
      }
    }
    const total = sum(Object.values(kinds));
    mkdirSync(dirname(SUMMARY_FILE), { recursive: true });
    writeFileSync(SUMMARY_FILE, JSON.stringify({ ...total, kinds, skippedTests }, null, 2));
    // Jest prints its own summary after every reporter has been told, and the global teardown runs later still.
    process.once('exit', () => print(kinds, skippedTests, total));
  }
}

const VERDICTS = { passed: 'passed', failed: 'failed' };

/** Tests beside the source are unit tests; the others are of the kind that their folder under test/ names. */
function kindOf(path) {
  const [top, folder, ...rest] = path.split('/');
  if (top !== 'test') return 'unit';
  return rest.length === 0 ? 'repository' : folder;
}

function reasonOf(name) {
  return REASON.exec(name)?.[1] ?? null;
}

function sum(counts) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const verdict of Object.keys(total)) {
    for (const count of counts) total[verdict] += count[verdict];
  }
  return total;
}

function print(kinds, skippedTests, total) {
  const lines = Object.entries(kinds).map(([kind, counts]) => `${kind}: ${plain(counts)}`);
  lines.push(
    ...skippedTests.map(
      ({ file, name, reason }) => `skipped: ${name}${reason === null ? ` (see ${file})` : ''}`,
    ),
  );
  process.stdout.write(`\n${lines.join('\n')}\n${plain(total)}\n`);
}

function plain({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
