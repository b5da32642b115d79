import { randomBytes } from 'node:crypto';
import type { Registry } from 'prom-client';
import { createAddressPolicy } from '#adapters/http-sender/address-policy.js';
import { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { parseEgressProxy, type EgressProxy } from '#adapters/http-sender/egress-proxy.js';
import { parsePortRanges } from '#adapters/http-sender/port-ranges.js';
import { connectDatabase, type Database } from '#adapters/postgres/database.js';
import { checkEncryptionKeys } from '#adapters/postgres/encryption-canary.js';
import { learnClock } from '#adapters/postgres/learn-clock.js';
import { MaintenanceSessions } from '#adapters/postgres/maintenance-session.js';
import { migrationNames, ownMigrationsDir } from '#adapters/postgres/migrate.js';
import { PipelineStatements } from '#adapters/postgres/pipeline-statements.js';
import { databaseProblem } from '#adapters/postgres/readiness.js';
import { BullMqHintQueue } from '#adapters/queue/bullmq-hint-queue.js';
import { connectQueues, type QueueConnection } from '#adapters/queue/queue-connection.js';
import { AesGcmSecretBox } from '#adapters/secrets/aes-gcm-secret-box.js';
import type { ServiceConfiguration } from '#config/environment.js';
import { posthornVersion } from '#config/version.js';
import { IdMaker } from '#domain/ids.js';
import type { Logger } from '#observability/logger.js';
import { createMetrics } from '#observability/metrics.js';
import type { ReadinessCheck } from '#observability/readiness.js';
import { DatabaseClock } from '#pipeline/database-clock.js';
import type { Brand } from '#pipeline/sign.js';
import { canaryKeys } from './encryption-keys.js';

/** What every process of Posthorn stands on, made from its configuration. */
export interface Foundation {
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly version: string;
  readonly database: Database;
  /** For the pipeline's statements, on connections of their own. */
  readonly statements: PipelineStatements;
  readonly clock: DatabaseClock;
  readonly ids: IdMaker;
  readonly secretBox: AesGcmSecretBox;
  readonly egressPolicy: EgressPolicy;
  readonly egressProxy: EgressProxy | null;
  readonly queues: QueueConnection;
  readonly hintQueue: BullMqHintQueue;
  readonly brand: Brand;
  readonly maintenance: MaintenanceSessions;
  /** For how many days the log is kept. */
  readonly retentionDays: number;
  /** PostgreSQL writable, its schema this build's, partitions there. */
  readonly databaseCheck: ReadinessCheck;
  /** Closes all of it. Whatever uses it must be closed before. */
  close(): Promise<void>;
}

/**
 * Connects to what the configuration names, and checks that the encryption keys fit the database.
 *
 * @throws {EncryptionKeyMismatch} and whatever the database throws when it is away
 */
export async function layFoundation(
  configuration: ServiceConfiguration,
  logger: Logger,
): Promise<Foundation> {
  const database = connectDatabase(configuration.databaseUrl, DATABASE_CONNECTIONS_MAX);
  const statements = new PipelineStatements(configuration.databaseUrl, PIPELINE_CONNECTIONS_MAX);
  const queues = connectQueues(configuration);
  const hintQueue = new BullMqHintQueue(queues);
  const close = async (): Promise<void> => {
    await hintQueue.close();
    await queues.close();
    await Promise.all([database.$disconnect(), statements.close()]);
  };
  try {
    const clock = new DatabaseClock();
    await learnClock(database, clock);
    const keys = configuration.encryptionKeys;
    await checkEncryptionKeys(database, canaryKeys(keys));
    const migrations = await migrationNames(ownMigrationsDir());
    const version = posthornVersion();
    return {
      logger,
      metrics: createMetrics(),
      version,
      database,
      statements,
      clock,
      ids: new IdMaker(() => clock.nowMs(), randomBytes),
      secretBox: new AesGcmSecretBox(keys),
      egressPolicy: new EgressPolicy({
        addresses: createAddressPolicy({ allowCidrs: configuration.egressAllow }),
        ports: parsePortRanges(configuration.egressPorts),
        allowHttp: configuration.allowHttp,
      }),
      egressProxy: configuration.egressProxy === null ? null : parseEgressProxy(configuration.egressProxy),
      queues,
      hintQueue,
      brand: { headerPrefix: configuration.headerPrefix, userAgent: `Posthorn/${version}` },
      maintenance: new MaintenanceSessions(configuration.databaseUrl),
      retentionDays: configuration.retentionDays,
      databaseCheck: {
        name: 'database',
        problem: async () => {
          // Each probe also reads PostgreSQL's clock, for a process that commits nothing for a while.
          await learnClock(database, clock);
          return databaseProblem(database, migrations, clock.nowMs());
        },
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Enough for all that one event loop asks on behalf of people; PostgreSQL takes 100 by default from everybody. */
const DATABASE_CONNECTIONS_MAX = 14;
/** Claims, settles, sweeps and releases of a worker, or the commits of an API: none waits for another's connection. */
const PIPELINE_CONNECTIONS_MAX = 10;
