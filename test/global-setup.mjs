/** Only listens: the server starts when the first test file asks for a database. Runs what was built, as e2e tests do. */
export default async function globalSetup() {
  const { startPostgresCoordinator } = await import('../dist/libs/testkit/src/postgres-coordinator.js');
  const { completeMigrations } = await import('../dist/libs/foundation/src/migrate-database.js');
  globalThis.postgresCoordinator = await startPostgresCoordinator((client, databaseUrl) =>
    completeMigrations(client, databaseUrl, () => undefined),
  );
}
