/** `DeliveryEngine` of #worker/engine.js */
export const ENGINE = Symbol('ENGINE');
/** `Database` of #adapters/postgres/database.js */
export const DATABASE = Symbol('WORKER_DATABASE');
/** `DatabaseClock` of #pipeline/database-clock.js */
export const CLOCK = Symbol('WORKER_CLOCK');
/** `Retention` of #worker/retention.js */
export const RETENTION = Symbol('WORKER_RETENTION');
/** `pino.Logger` */
export const LOGGER = Symbol('WORKER_LOGGER');
/** `Registry` of prom-client */
export const METRICS = Symbol('WORKER_METRICS');
/** `SecretBox` of #pipeline/secret-box.js */
export const SECRET_BOX = Symbol('WORKER_SECRET_BOX');
/** `number | null`: days after which an endpoint that only fails is disabled; null: never */
export const DISABLE_AFTER_DAYS = Symbol('DISABLE_AFTER_DAYS');
