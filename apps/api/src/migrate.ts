import { readEnvironment } from '#config/environment.js';
import { migrateDatabase } from '#foundation/migrate-database.js';
import { StartupError } from '#adapters/postgres/embedded/startup-error.js';
import { tellStartupError } from '#foundation/tell-startup-error.js';

try {
  // It needs nothing but the database, and so no keys.
  const { databaseUrl } = readEnvironment('standalone', process.env);
  if (databaseUrl === null) {
    throw new StartupError(
      'DATABASE_URL is needed. (npm start has a database of its own and migrates it by itself.)',
    );
  }
  const applied = await migrateDatabase(databaseUrl, (line) => console.log(line));
  console.log(applied.length === 0 ? 'The schema is current.' : `Applied ${applied.length} migrations.`);
} catch (error) {
  tellStartupError(error);
  process.exit(1);
}
