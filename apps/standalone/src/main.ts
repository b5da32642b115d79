import 'reflect-metadata';
import { readEnvironment } from '#config/environment.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';
import { createLogger } from '#observability/logger.js';
import { stopOnSignals } from '#observability/termination.js';
import { startStandalone } from './standalone.js';
import { logDestination } from './terminal-log.js';

/** In flight 12 s, then PostgreSQL, which takes some tenths of a second; orchestrators kill after 15 s or more. */
const STOP_DEADLINE_MS = 14_800;

const interruption = new AbortController();

try {
  const configuration = readEnvironment('standalone', process.env);
  // What a person is told goes to standard output, and the log beside it.
  const destination = logDestination(process.stderr);
  const logger = createLogger({ level: configuration.logLevel, name: 'standalone', destination });
  const say = (line: string): void => console.log(line);
  const starting = startStandalone({ configuration, logger, say, interruption: interruption.signal });
  // From the first moment: a Ctrl-C while it starts must not leave a PostgreSQL behind.
  stopOnSignals({
    deadlineMs: STOP_DEADLINE_MS,
    onError: (error) => logger.error({ err: error }, 'did not stop in order'),
    stop: async () => {
      say('\nStopping: what is in flight is settled first.');
      interruption.abort();
      const standalone = await starting.catch(() => null);
      await standalone?.stop();
      say('Stopped. Everything is kept; start again to go on.');
    },
  });
  await starting;
} catch (error) {
  // A start that was interrupted ends as stopOnSignals says.
  if (!interruption.signal.aborted) {
    tellStartupError(error);
    process.exit(1);
  }
}
