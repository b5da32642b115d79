import './source-hooks.mjs';

/** Only listens: the server starts when the first test file asks for a database. */
export default async function globalSetup() {
  const { startPostgresCoordinator } = await import('../libs/testkit/src/postgres-coordinator.ts');
  globalThis.postgresCoordinator = await startPostgresCoordinator();
}
