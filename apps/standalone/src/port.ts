import { createServer } from 'node:net';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';

/** @throws {StartupError} when something listens there already, or nobody may */
export async function assertPortFree({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (error) {
    throw new StartupError(`Cannot listen on ${host}:${port}: ${reasonOf(error)}. Set PORT to another one.`, {
      cause: error,
    });
  }
  await new Promise((resolve) => server.close(resolve));
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  switch (code) {
    case 'EADDRINUSE':
      return 'something else is listening there';
    case 'EACCES':
      return 'this user may not';
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    default:
      return String(code);
  }
}
