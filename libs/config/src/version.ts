import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

/** Posthorn's own version, as its package.json has it. */
export function posthornVersion(): string {
  const path = findPackageJSON(import.meta.url);
  if (path === undefined) throw new Error('there is no package.json above this file');
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}
