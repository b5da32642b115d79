import type { Configuration } from '#config/environment.js';
import type { GeneratedKeys } from './generated-keys.js';

/** What a person who has just started Posthorn needs next: where it is, the key, and calls to paste. */
export function welcome({
  url,
  configuration,
  keys,
}: {
  readonly url: string;
  readonly configuration: Configuration;
  readonly keys: GeneratedKeys;
}): string {
  return [
    '',
    `Posthorn is ready on ${url}`,
    `  API reference  ${url}/docs`,
    `  data           ${configuration.databaseUrl === null ? configuration.dataDir : 'in the PostgreSQL of DATABASE_URL'}`,
    `  queue          ${configuration.redisUrl === null ? 'on PostgreSQL (set REDIS_URL for Redis)' : 'on Redis'}`,
    ...configuration.assumed.map(
      (setting) => `  assumed        ${setting}, because this is one machine; set it to change it`,
    ),
    ...keyLines(configuration, keys),
    '',
    'Paste, in another terminal:',
    '',
    ...calls(url, configuration, keys),
    '',
    'Or watch it all happen: npm run demo',
    'Ctrl-C stops it; a second start goes on where it left off.',
    '',
  ].join('\n');
}

function keyLines(configuration: Configuration, keys: GeneratedKeys): string[] {
  if (configuration.platformKey !== null) return ['  platform key   from POSTHORN_PLATFORM_KEY'];
  if (!keys.platformKeyIsNew)
    return [`  platform key   as before; it is in ${configuration.dataDir}/platform-key`];
  return [
    `  platform key   ${keys.platformKey}`,
    `                 (shown this once; kept in ${configuration.dataDir}/platform-key)`,
  ];
}

function calls(url: string, configuration: Configuration, keys: GeneratedKeys): string[] {
  const key =
    configuration.platformKey !== null
      ? 'KEY=$POSTHORN_PLATFORM_KEY'
      : keys.platformKeyIsNew
        ? `KEY=${keys.platformKey}`
        : `KEY=$(cat '${configuration.dataDir}/platform-key')`;
  return [
    `  ${key}`,
    `  curl -s ${url}/v1/merchants -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\`,
    `    -d '{"name":"Ama Stores"}'`,
    `  MERCHANT=mrc_...   # the id from the answer`,
    `  curl -s ${url}/v1/webhooks -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\`,
    `    -d "{\\"merchant_id\\":\\"$MERCHANT\\",\\"url\\":\\"http://127.0.0.1:9000/hook\\",\\"events\\":[\\"payment.*\\"]}"`,
    `  curl -s ${url}/v1/events -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\`,
    `    -d "{\\"merchant_id\\":\\"$MERCHANT\\",\\"type\\":\\"payment.success\\",\\"data\\":{\\"amount\\":\\"50.00\\"}}"`,
    `  curl -s "${url}/v1/deliveries?merchant_id=$MERCHANT" -H "Authorization: Bearer $KEY"`,
  ];
}
