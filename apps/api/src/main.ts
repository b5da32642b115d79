import { UndiciSender } from '#adapters/http-sender/undici-sender.js';
import { readEnvironment, redacted } from '#config/environment.js';
import { layFoundation } from '#foundation/foundation.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';
import { createLogger } from '#observability/logger.js';
import { stopOnSignals } from '#observability/termination.js';
import { installPlatformKey } from '#foundation/install-platform-key.js';
import { openRequestBuckets } from '#foundation/open-request-buckets.js';
import { armFailpoints } from '#pipeline/failpoints.js';
import { createApi } from './create-api.js';

/** Orchestrators kill after 15 s or more; every statement and look-up that a request waits for ends well before. */
const STOP_DEADLINE_MS = 14_500;

async function main(): Promise<void> {
  const configuration = readEnvironment('api', process.env);
  const logger = createLogger({ level: configuration.logLevel, name: 'api' });
  const foundation = await layFoundation(configuration, logger);
  logger.info({ configuration: redacted(configuration), version: foundation.version }, 'starting');
  const sender = new UndiciSender({ egress: foundation.egressPolicy });
  await installPlatformKey(foundation.database, configuration.platformKey, foundation.ids);
  const requests = await openRequestBuckets(configuration, foundation.database);
  const app = await createApi({
    ...foundation,
    requestBuckets: requests.requestBuckets,
    apiRatePerSecond: configuration.apiRatePerSecond,
    trustedProxies: configuration.trustedProxies,
    sender,
    databaseClock: foundation.clock,
    idMaker: foundation.ids,
    cursorSecret: configuration.encryptionKeys[0].key,
    headerPrefix: configuration.headerPrefix,
    readinessChecks: [foundation.databaseCheck],
    reachFailpoint: armFailpoints(process.env['POSTHORN_DANGEROUS_FAILPOINTS'], () =>
      process.kill(process.pid, 'SIGKILL'),
    ),
  });
  await app.listen({ port: configuration.port, host: configuration.host });
  logger.info({ url: await app.getUrl() }, 'listening');
  stopOnSignals({
    deadlineMs: STOP_DEADLINE_MS,
    onError: (error) => logger.error({ err: error }, 'did not stop in order'),
    stop: async (signal) => {
      logger.info({ signal }, 'stopping');
      await app.close();
      requests.close();
      // What still waits for a receiver has been answered.
      await sender.close(0);
      await foundation.close();
    },
  });
}

try {
  await main();
} catch (error) {
  tellStartupError(error);
  process.exit(1);
}
