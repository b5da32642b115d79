import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { UndiciSender } from '#adapters/http-sender/undici-sender.js';
import { readEnvironment, redacted } from '#config/environment.js';
import { layFoundation } from '#foundation/foundation.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';
import { createLogger, nestLogger } from '#observability/logger.js';
import { stopOnSignals } from '#observability/termination.js';
import { ProbeModule } from './probe.module.js';
import { queueCheck } from './readiness-checks.js';
import { armFailpoints } from '#pipeline/failpoints.js';
import { WorkerModule } from './worker.module.js';

/** What is in flight has 12 s; the rest is for closing. Orchestrators kill after 15 s or more. */
const STOP_DEADLINE_MS = 14_500;

async function main(): Promise<void> {
  const configuration = readEnvironment('worker', process.env);
  const logger = createLogger({ level: configuration.logLevel, name: 'worker' });
  const foundation = await layFoundation(configuration, logger);
  logger.info({ configuration: redacted(configuration), version: foundation.version }, 'starting');
  const sender = new UndiciSender({ egress: foundation.egressPolicy, proxy: foundation.egressProxy });
  const queue = queueCheck(configuration.redisUrl, logger);
  const worker = WorkerModule.register({
    ...foundation,
    sender,
    disableAfterDays: configuration.disableAfterDays,
    reachFailpoint: armFailpoints(process.env['POSTHORN_DANGEROUS_FAILPOINTS'], () =>
      process.kill(process.pid, 'SIGKILL'),
    ),
  });
  const probes = ProbeModule.register({
    metrics: foundation.metrics,
    readinessChecks: [foundation.databaseCheck, queue.check],
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    { module: WorkerRoot, imports: [worker, probes] },
    new FastifyAdapter(),
    { logger: nestLogger(logger), abortOnError: false },
  );
  await app.listen({ port: configuration.port, host: configuration.host });
  logger.info({ url: await app.getUrl() }, 'working');
  stopOnSignals({
    deadlineMs: STOP_DEADLINE_MS,
    onError: (error) => logger.error({ err: error }, 'did not stop in order'),
    stop: async (signal) => {
      logger.info({ signal }, 'stopping');
      await app.close();
      queue.close();
      // What is still in flight was given up, and recorded so.
      await sender.close(0);
      await foundation.close();
    },
  });
}

@Module({})
class WorkerRoot {}

try {
  await main();
} catch (error) {
  tellStartupError(error);
  process.exit(1);
}
