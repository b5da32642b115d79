import { randomBytes } from 'node:crypto';
import { createAddressPolicy } from '#adapters/http-sender/address-policy.js';
import { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { parsePortRanges } from '#adapters/http-sender/port-ranges.js';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { EncryptionKeyMismatch } from '#adapters/postgres/encryption-canary.js';
import { learnClock } from '#adapters/postgres/learn-clock.js';
import { MigrationError, migrationNames, ownMigrationsDir } from '#adapters/postgres/migrate.js';
import { BullMqHintQueue } from '#adapters/queue/bullmq-hint-queue.js';
import { connectQueues, type QueueConnection } from '#adapters/queue/queue-connection.js';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import {
  ConfigurationError,
  readEnvironment,
  redacted,
  type ServiceConfiguration,
} from '#config/environment.js';
import { posthornVersion } from '#config/version.js';
import { IdMaker } from '#domain/ids.js';
import { createLogger, type Logger } from '#observability/logger.js';
import { createMetrics } from '#observability/metrics.js';
import { stopOnSignals } from '#observability/termination.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import type { ApiOptions } from './api.module.js';
import { installKeys, PlatformKeyError } from './auth/install-keys.js';
import { createApi } from './create-api.js';
import { databaseCheck } from './health/database-check.js';
import { isDatabaseAway } from './http/describe-error.js';

/** Enough for all statements that the event loop can keep under way; PostgreSQL takes 100 by default from everybody. */
const DATABASE_CONNECTIONS_MAX = 20;
/** What orchestrators wait for before they kill is 30 s at Kubernetes and 10 to 15 s elsewhere. */
const STOP_DEADLINE_MS = 14_000;

async function main(): Promise<void> {
  const configuration = readEnvironment('api', process.env);
  const logger = createLogger({ level: configuration.logLevel, name: 'api' });
  logger.info({ configuration: redacted(configuration), version: posthornVersion() }, 'starting');
  const database = connectDatabase(configuration.databaseUrl, DATABASE_CONNECTIONS_MAX);
  const queues = connectQueues(configuration);
  const hintQueue = new BullMqHintQueue(queues);
  const app = await createApi(await optionsOf(configuration, { database, hintQueue, logger }));
  await app.listen({ port: configuration.port, host: configuration.host });
  logger.info({ url: await app.getUrl() }, 'listening');
  stopOnSignals({
    deadlineMs: STOP_DEADLINE_MS,
    onError: (error) => logger.error({ err: error }, 'did not stop in order'),
    stop: async (signal) => {
      logger.info({ signal }, 'stopping');
      await app.close();
      await closeAll(hintQueue, queues, database);
    },
  });
}

async function optionsOf(
  configuration: ServiceConfiguration,
  parts: { readonly database: Database; readonly hintQueue: BullMqHintQueue; readonly logger: Logger },
): Promise<ApiOptions> {
  const { encryptionKeys, headerPrefix, allowHttp } = configuration;
  const databaseClock = new DatabaseClock();
  await learnClock(parts.database, databaseClock);
  const idMaker = new IdMaker(() => databaseClock.nowMs(), randomBytes);
  await installKeys(parts.database, configuration, idMaker);
  const migrations = await migrationNames(ownMigrationsDir());
  return {
    ...parts,
    databaseClock,
    idMaker,
    headerPrefix,
    secretBox: new AesGcmSecretBox(encryptionKeys),
    cursorSecret: encryptionKeys[0].key,
    egressPolicy: new EgressPolicy({
      addresses: createAddressPolicy({ allowCidrs: configuration.egressAllow }),
      ports: parsePortRanges(configuration.egressPorts),
      allowHttp,
    }),
    metrics: createMetrics(),
    readinessChecks: [databaseCheck(parts.database, databaseClock, migrations)],
    version: posthornVersion(),
  };
}

async function closeAll(
  hintQueue: BullMqHintQueue,
  queues: QueueConnection,
  database: Database,
): Promise<void> {
  await hintQueue.close();
  await queues.close();
  await database.$disconnect();
}

/** One line for what an operator can put right; the whole error for what only we can. */
function tell(error: unknown): void {
  const isOperators =
    error instanceof ConfigurationError ||
    error instanceof EncryptionKeyMismatch ||
    error instanceof MigrationError ||
    error instanceof PlatformKeyError;
  if (isOperators) {
    console.error(error.message);
  } else if (isListenError(error)) {
    console.error(`Cannot listen on HOST and PORT: ${error.message}.`);
  } else if (isDatabaseAway(error)) {
    console.error('Cannot reach the PostgreSQL that DATABASE_URL names, or it takes no connections.');
  } else {
    console.error(error);
  }
}

function isListenError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall === 'listen';
}

try {
  await main();
} catch (error) {
  tell(error);
  process.exit(1);
}
