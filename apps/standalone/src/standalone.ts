import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApiModule, type ApiOptions } from '#api/api.module.js';
import { createAdapter, prepareApi } from '#api/create-api.js';
import { UndiciSender } from '#adapters/http-sender/undici-sender.js';
import type { Configuration, ServiceConfiguration } from '#config/environment.js';
import { type Foundation, layFoundation } from '#foundation/foundation.js';
import { installPlatformKey } from '#foundation/install-platform-key.js';
import { migrateDatabase } from '#foundation/migrate-database.js';
import { openRequestBuckets } from '#foundation/open-request-buckets.js';
import { type Logger, nestLogger } from '#observability/logger.js';
import type { ReadinessCheck } from '#observability/readiness.js';
import { consumingCheck, queueCheck } from '#worker/readiness-checks.js';
import { WorkerModule } from '#worker/worker.module.js';
import { refuseTakenDataDirectory } from './data-directory-lock.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { generatedKeys } from './generated-keys.js';
import { assertPortFree } from './port.js';
import { problemsAfterStart } from './ready.js';
import { withGeneratedKeys } from './service-configuration.js';
import { welcome } from './welcome.js';

export interface StandaloneOptions {
  readonly configuration: Configuration;
  readonly logger: Logger;
  /** Takes lines for a person at a terminal. */
  readonly say: (line: string) => void;
  /** Aborted: the start ends after the step that it is at, rejects, and has left nothing running. */
  readonly interruption: AbortSignal;
}

export interface Standalone {
  readonly url: string;
  /** Settles what is in flight, then stops PostgreSQL, last of all. */
  stop(): Promise<void>;
}

/** What has to be undone, in the order in which it was done. */
class Undo {
  private readonly steps: (() => Promise<void> | void)[] = [];

  add(step: () => Promise<void> | void): void {
    this.steps.push(step);
  }

  /** A step that fails keeps none of the others from being taken. @throws AggregateError of what failed */
  async all(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'not everything could be closed in order');
  }
}

/**
 * API and worker in one process, on a PostgreSQL of its own unless `DATABASE_URL` names one. Resolves once it is ready,
 * or has said why it is not.
 *
 * @throws {StartupError} and others, with one line for the person; nothing is left running then
 */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const { configuration, logger, interruption } = options;
  const undo = new Undo();
  try {
    // Before anything is made: the mistake that is made most often.
    await assertPortIsOurs(configuration);
    const keys = await generatedKeys(configuration.dataDir);
    const service = withGeneratedKeys(configuration, keys, await databaseUrlOf(configuration, logger, undo));
    interruption.throwIfAborted();
    await migrateDatabase(service.databaseUrl, (line) => logger.info(line));
    interruption.throwIfAborted();
    const foundation = await layFoundation(service, logger);
    undo.add(() => foundation.close());
    await installPlatformKey(foundation.database, service.platformKey, foundation.ids);
    const { url, checks } = await startApp(service, foundation, undo);
    const problems = await problemsAfterStart(checks, interruption);
    interruption.throwIfAborted();
    options.say(welcome({ url, problems, configuration, keys }));
    return { url, stop: () => undo.all() };
  } catch (error) {
    // What could not be closed matters less than why.
    await undo.all().catch(() => undefined);
    throw error;
  }
}

/** A second start in the same place finds the port taken, and it is the first start that it should hear of. */
async function assertPortIsOurs(configuration: Configuration): Promise<void> {
  try {
    await assertPortFree(configuration);
  } catch (error) {
    if (configuration.databaseUrl === null) refuseTakenDataDirectory(configuration.dataDir);
    throw error;
  }
}

async function databaseUrlOf(configuration: Configuration, logger: Logger, undo: Undo): Promise<string> {
  if (configuration.databaseUrl !== null) return configuration.databaseUrl;
  const postgres = await startEmbeddedPostgres({
    dataDir: configuration.dataDir,
    log: (line) => logger.info(line),
  });
  undo.add(() => postgres.stop());
  return postgres.databaseUrl;
}

async function startApp(
  service: ServiceConfiguration,
  foundation: Foundation,
  undo: Undo,
): Promise<{ readonly url: string; readonly checks: readonly ReadinessCheck[] }> {
  const sender = new UndiciSender({ egress: foundation.egressPolicy, proxy: foundation.egressProxy });
  // By then, what is still in flight was given up, and recorded so.
  undo.add(() => sender.close(0));
  const queue = queueCheck(service.redisUrl, foundation.logger);
  undo.add(queue.close);
  const checks = [foundation.databaseCheck, queue.check];
  const requests = await openRequestBuckets(service, foundation.database);
  undo.add(requests.close);
  const api: ApiOptions = {
    ...foundation,
    requestBuckets: requests.requestBuckets,
    apiRatePerSecond: service.apiRatePerSecond,
    trustedProxies: service.trustedProxies,
    sender,
    databaseClock: foundation.clock,
    idMaker: foundation.ids,
    cursorSecret: service.encryptionKeys[0].key,
    headerPrefix: service.headerPrefix,
    readinessChecks: checks,
  };
  const { disableAfterDays } = service;
  const worker = WorkerModule.register({ ...foundation, sender, disableAfterDays });
  const app = await NestFactory.create<NestFastifyApplication>(
    {
      module: StandaloneRoot,
      imports: [ApiModule.register(api), worker],
    },
    createAdapter(api),
    { logger: nestLogger(foundation.logger), bodyParser: false, abortOnError: false },
  );
  undo.add(() => app.close());
  // The application has to be there before it can be asked whether it works.
  checks.push(consumingCheck(app));
  await prepareApi(app, api);
  await app.listen({ port: service.port, host: service.host });
  return { url: await app.getUrl(), checks };
}

@Module({})
class StandaloneRoot {}
