import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';

// A package that runs a script when it is installed runs it as whoever installs. Each is decided in package.json, one way
// or the other, before it comes in.

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>>;
}

async function read<Json>(name: string): Promise<Json> {
  return JSON.parse(await readFile(new URL(`../${name}`, import.meta.url), 'utf8')) as Json;
}

test('every package with an install script is allowed or refused by name', async () => {
  const { allowScripts } = await read<{ allowScripts: Readonly<Record<string, boolean>> }>('package.json');
  const { packages } = await read<LockFile>('package-lock.json');
  const withScript = Object.entries(packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript === true)
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
  const undecided = withScript.filter((name) => !Object.hasOwn(allowScripts, name));
  const needless = Object.keys(allowScripts).filter((name) => !withScript.includes(name));
  expect({ undecided, needless }).toEqual({ undecided: [], needless: [] });
  for (const decision of Object.values(allowScripts)) expect(typeof decision).toBe('boolean');
});
