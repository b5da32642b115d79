import 'reflect-metadata';
import { startStandalone } from './standalone.js';
import { readEnvironment } from '#config/environment.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';
import { createLogger } from '#observability/logger.js';
import { stopOnSignals } from '#observability/termination.js';

/** In flight 12 s, then PostgreSQL, which takes some tenths of a second; orchestrators kill after 15 s or more. */
const STOP_DEADLINE_MS = 14_800;

try {
  const configuration = readEnvironment('standalone', process.env);
  const logger = createLogger({ level: configuration.logLevel, name: 'standalone' });
  const standalone = await startStandalone(configuration, logger, (line) => console.log(line));
  stopOnSignals({
    deadlineMs: STOP_DEADLINE_MS,
    onError: (error) => logger.error({ err: error }, 'did not stop in order'),
    stop: async () => {
      console.log('\nStopping: what is in flight is settled first (again within 2 s changes nothing).');
      await standalone.stop();
      console.log('Stopped. Everything is kept; start again to go on.');
    },
  });
} catch (error) {
  tellStartupError(error);
  process.exit(1);
}
