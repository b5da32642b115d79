export default async function globalTeardown() {
  await globalThis.postgresCoordinator?.stop();
}
