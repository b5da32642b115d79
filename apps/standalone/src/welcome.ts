import { resolve } from 'node:path';
import type { Configuration } from '#config/environment.js';
import type { GeneratedKeys } from './generated-keys.js';

/** Where the receiver of the calls to paste listens. */
const RECEIVER_PORT = 9000;

export interface Welcome {
  readonly url: string;
  /** What keeps it from being ready, a line each. */
  readonly problems: readonly string[];
  readonly configuration: Configuration;
  readonly keys: GeneratedKeys;
}

/** What a person who has just started Posthorn needs next: where it is, the key, and calls to paste. */
export function welcome({ url, problems, configuration, keys }: Welcome): string {
  const keyFile = resolve(configuration.dataDir, 'platform-key');
  return [
    '',
    ...headline(url, problems),
    '',
    `  API reference  ${url}/docs`,
    `  data           ${configuration.databaseUrl === null ? resolve(configuration.dataDir) : 'in the PostgreSQL of DATABASE_URL'}`,
    `  queue          ${configuration.redisUrl === null ? 'on PostgreSQL (set REDIS_URL for Redis)' : 'on Redis'}`,
    ...configuration.assumed.map(
      (setting) => `  assumed        ${setting} (as on one's own machine; set it to change it)`,
    ),
    ...keyLines(configuration, keys, keyFile),
    '',
    'To try it, start a receiver in a second terminal:',
    '',
    `  ${RECEIVER}`,
    '',
    'and paste this in a third:',
    '',
    ...calls(url, keyAssignment(configuration, keys, keyFile)).map((line) => `  ${line}`),
    '',
    'Or watch it all happen: npm run demo',
    'Ctrl-C stops it; a second start goes on where it left off.',
    '',
  ].join('\n');
}

function headline(url: string, problems: readonly string[]): string[] {
  if (problems.length === 0) return [`Posthorn is ready on ${url}`];
  return [`Posthorn runs on ${url} but is NOT READY:`, ...problems.map((problem) => `  ${problem}`)];
}

function keyLines(configuration: Configuration, keys: GeneratedKeys, keyFile: string): string[] {
  if (configuration.platformKey !== null) return ['  platform key   that of POSTHORN_PLATFORM_KEY'];
  if (!keys.platformKeyIsNew) return [`  platform key   as before, kept in ${keyFile}`];
  return [`  platform key   ${keys.platformKey}`, `                 (shown this once; kept in ${keyFile})`];
}

function keyAssignment(configuration: Configuration, keys: GeneratedKeys, keyFile: string): string {
  if (configuration.platformKey !== null) return 'KEY=$POSTHORN_PLATFORM_KEY';
  if (keys.platformKeyIsNew) return `KEY=${keys.platformKey}`;
  return `KEY=$(cat '${keyFile.replaceAll("'", String.raw`'\''`)}')`;
}

/** Prints what it gets. On whatever Node the machine has. */
const RECEIVER = `node -e "require('http').createServer((q, s) => q.on('end', () => { console.log(); s.end() }).pipe(process.stdout)).listen(${RECEIVER_PORT})"`;

/** For any POSIX shell, pasted at once or a call at a time; without comments, which zsh takes for arguments. */
function calls(url: string, keyLine: string): string[] {
  const headers = `-H "Authorization: Bearer $KEY" -H 'Content-Type: application/json'`;
  return [
    keyLine,
    `MERCHANT=$(curl -s ${url}/v1/merchants ${headers} \\`,
    `  -d '{"name":"Ama Stores"}' | sed 's/.*"id":"\\(mrc_[^"]*\\)".*/\\1/')`,
    `curl -s ${url}/v1/webhooks ${headers} \\`,
    `  -d '{"merchant_id":"'$MERCHANT'","url":"http://127.0.0.1:${RECEIVER_PORT}/hook","events":["payment.*"]}'; echo`,
    `curl -s ${url}/v1/events ${headers} \\`,
    `  -d '{"merchant_id":"'$MERCHANT'","type":"payment.success","data":{"amount":"50.00"}}'; echo`,
    `curl -s "${url}/v1/deliveries?merchant_id=$MERCHANT" -H "Authorization: Bearer $KEY"; echo`,
  ];
}
