// What the npm scripts share. It runs before anything is installed, on whatever Node >= 20 the machine has, so it uses
// nothing but Node. What it starts runs on the Node that the project pins.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

const NODE_MAJOR_MIN = 20;

/** A second signal of the same kind within this is the same key press: a terminal signals the group, and npm repeats it. */
const SAME_SIGNAL_MS = 2_000;

/** How late the end of npm's shell may be noticed. */
const PARENT_POLL_MS = 250;

const STAMP_DIRECTORY = join(ROOT, 'node_modules', '.cache', 'posthorn');

/** What the build reads. Changed content, not changed times: a checkout touches files that it does not change. */
const BUILD_INPUTS = ['apps', 'libs', 'bench', '.swcrc', 'nest-cli.json', 'package.json'];
const GENERATE_INPUTS = [
  'prisma/schema.prisma',
  'node_modules/prisma/package.json',
  'node_modules/@prisma/client/package.json',
];
const GENERATED = join(ROOT, 'libs', 'adapters', 'src', 'postgres', 'generated');

/** Installs the locked dependencies, unless they are there already. */
export async function ensureInstalled() {
  assertNode();
  if (isInstalled()) return;
  say('installing dependencies (npm ci), which takes a minute or two the first time');
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  // Beside the npm that runs this script, if one does: on Windows `npm` is not a program that can be spawned.
  const npm = process.env.npm_execpath;
  const code = npm?.endsWith('.js') ? await run(process.execPath, [npm, ...args]) : await run('npm', args);
  if (code !== 0) fail(`npm ci failed with exit code ${code}`, code);
  if (!isInstalled()) fail('npm ci succeeded, but what package-lock.json names is not there');
}

/** Builds, unless what was built last is what is there now. */
export async function ensureBuilt() {
  if (isGenerated() && isBuilt() && isStamped('build', sourcesHash())) return;
  await build();
}

/** Generates the database client and compiles everything. Ends the process, with a message, when either fails. */
export async function build() {
  say('building');
  if (!isGenerated()) {
    const schema = hashOf(GENERATE_INPUTS);
    await step('prisma generate', join('node_modules', 'prisma', 'build', 'index.js'), [
      'generate',
      '--no-hints',
    ]);
    stamp('generate', schema);
  }
  const sources = sourcesHash();
  await step('nest build', join('node_modules', '@nestjs', 'cli', 'bin', 'nest.js'), ['build']);
  if (!isBuilt()) fail('the build succeeded, but dist is not complete');
  stamp('build', sources);
}

/** The Node that the project pins: only after ensureInstalled. */
export function pinnedNode() {
  return pinnedNodePath() ?? fail('the `node` package is not installed: run npm ci');
}

/** Runs a script on the pinned Node with this terminal, and ends this process as it ended. */
export async function runAndExit(args) {
  process.exit(await run(pinnedNode(), args));
}

/**
 * Runs a program with this terminal until it ends, and hands on the signals that ask this process to end, which itself
 * waits for the program. Empty variables are not handed on: an empty one counts as unset.
 *
 * @returns {Promise<number>} its exit code; 128 + the number of the signal that ended it
 */
export function run(command, args, { env = {}, quiet = false } = {}) {
  return new Promise((resolve) => {
    const stdio = quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit';
    const child = spawn(command, args, { cwd: ROOT, env: childEnvironment(env), stdio });
    const output = [];
    child.stdout?.on('data', (chunk) => output.push(chunk));
    child.stderr?.on('data', (chunk) => output.push(chunk));
    const release = forwardSignals(child);
    child.once('error', (error) => {
      release();
      say(`cannot run ${command}: ${error.message}`);
      resolve(127);
    });
    child.once('close', (code, signal) => {
      release();
      if (code !== 0) process.stderr.write(Buffer.concat(output));
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}

/** Starts a program on the pinned Node with this terminal, for a caller that restarts it. */
export function start(args) {
  return spawn(pinnedNode(), args, { cwd: ROOT, env: childEnvironment(), stdio: 'inherit' });
}

/** A hash of what the build reads. */
export function sourcesHash() {
  return hashOf([...GENERATE_INPUTS, ...BUILD_INPUTS]);
}

export function say(line) {
  process.stderr.write(`posthorn: ${line}\n`);
}

function fail(line, code = 1) {
  say(line);
  process.exit(code);
}

function assertNode() {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return;
  fail(`Node ${process.versions.node} is too old: ${NODE_MAJOR_MIN} or newer is needed`);
}

/**
 * Ctrl-C reaches the program too, since it is in the same process group, and npm sends the signal once more; a signal sent
 * to npm or to this process alone reaches it only from here. It cannot be told which it was, so every signal is
 * handed on, once: the program takes a repetition within two seconds for the same key press.
 */
function forwardSignals(child) {
  const lastSentAt = new Map();
  const forward = (signal) => {
    const now = performance.now();
    if (now - (lastSentAt.get(signal) ?? -Infinity) < SAME_SIGNAL_MS) return;
    lastSentAt.set(signal, now);
    child.kill(signal);
  };
  // A closed terminal asks for the same orderly end.
  const handlers = {
    SIGINT: () => forward('SIGINT'),
    SIGTERM: () => forward('SIGTERM'),
    SIGHUP: () => forward('SIGTERM'),
  };
  for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler);
  const parent = process.ppid;
  const watch = setInterval(() => {
    // npm signals its shell, and a shell that does not hand signals on (dash) dies of it alone.
    if (process.env.npm_lifecycle_event === undefined || process.ppid === parent) return;
    clearInterval(watch);
    forward('SIGTERM');
  }, PARENT_POLL_MS);
  return () => {
    clearInterval(watch);
    for (const [signal, handler] of Object.entries(handlers)) process.off(signal, handler);
  };
}

function childEnvironment(extra = {}) {
  const set = Object.entries(process.env).filter(([, value]) => value !== '');
  const environment = { ...Object.fromEntries(set), ...QUIET_TOOLS, ...extra };
  // `npx`, `#!/usr/bin/env node` and the like find the pinned Node first.
  environment.PATH = [join(ROOT, 'node_modules', '.bin'), environment.PATH].filter(Boolean).join(delimiter);
  return environment;
}

/** Nothing that is installed or run here reports to its makers or looks for updates. */
const QUIET_TOOLS = {
  CHECKPOINT_DISABLE: '1',
  DO_NOT_TRACK: '1',
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
  SCARF_ANALYTICS: 'false',
};

/**
 * npm writes node_modules/.package-lock.json when everything is in place. Only optional packages (those of other platforms)
 * may be missing from it.
 */
function isInstalled() {
  try {
    const wanted = readPackages(join(ROOT, 'package-lock.json'));
    const found = readPackages(join(ROOT, 'node_modules', '.package-lock.json'));
    return (
      pinnedNodePath() !== undefined &&
      Object.entries(wanted).every(([path, { version, optional }]) =>
        path === '' || found[path] === undefined
          ? path === '' || optional === true
          : found[path].version === version,
      )
    );
  } catch {
    return false;
  }
}

function readPackages(lockFile) {
  return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
}

function pinnedNodePath() {
  const bin = join(ROOT, 'node_modules', 'node', 'bin');
  return [join(bin, 'node'), join(bin, 'node.exe')].find((path) => existsSync(path));
}

async function step(name, script, args) {
  // `prisma generate` insists on an engine binary that it does not use, and would download it; any file will do.
  const env = { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath };
  const code = await run(pinnedNode(), [script, ...args], { env, quiet: true });
  if (code !== 0) fail(`${name} failed with exit code ${code}`, code);
}

function isBuilt() {
  return existsSync(join(ROOT, 'dist', 'apps')) && existsSync(join(ROOT, 'dist', 'libs'));
}

function isGenerated() {
  return existsSync(GENERATED) && isStamped('generate', hashOf(GENERATE_INPUTS));
}

function stamp(name, hash) {
  mkdirSync(STAMP_DIRECTORY, { recursive: true });
  writeFileSync(join(STAMP_DIRECTORY, name), hash);
}

function isStamped(name, hash) {
  try {
    return readFileSync(join(STAMP_DIRECTORY, name), 'utf8') === hash;
  } catch {
    return false;
  }
}

function hashOf(inputs) {
  const hash = createHash('sha256');
  for (const input of inputs) addToHash(hash, input);
  return hash.digest('hex');
}

/** Tests and what `prisma generate` writes are left out: neither changes what is built. */
function addToHash(hash, path) {
  const absolute = join(ROOT, path);
  let entries;
  try {
    entries = readdirSync(absolute, { withFileTypes: true });
  } catch (error) {
    if (error.code === 'ENOTDIR') hash.update(`${path}\0`).update(readFileSync(absolute)).update('\0');
    else if (error.code !== 'ENOENT') throw error;
    return;
  }
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const child = join(path, entry.name);
    if (entry.name.endsWith('.test.ts') || join(ROOT, child) === GENERATED) continue;
    addToHash(hash, child);
  }
}
