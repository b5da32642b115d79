import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  bindMigrationAwareSqlAdapterFactory,
  DriverAdapterError,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import * as schemaEngine from '@prisma/schema-engine-wasm/schema_engine_bg';
import type { MigrationList, SchemaEngine } from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

/** The database has just answered another connection. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Applies the migrations that a database does not have yet with Prisma's schema engine. Each script and the mark in
 * `_prisma_migrations` that it has finished are one transaction. The caller sees to it that nobody else migrates.
 *
 * @returns the names of those applied, in order
 * @throws pg.DatabaseError what the server said to a script that failed; else what the engine said
 */
export async function applyWithSchemaEngine(
  databaseUrl: string,
  migrations: MigrationList,
): Promise<string[]> {
  const adapter = new WholeScriptAdapter(databaseUrl, migrations);
  let engine: SchemaEngine | undefined;
  try {
    engine = await newSchemaEngine(adapter);
    const output = await engine.applyMigrations({
      migrationsList: migrations,
      filters: { externalTables: [], externalEnums: [] },
    });
    return output.appliedMigrationNames;
  } catch (error) {
    throw adapter.lastScriptError ?? error;
  } finally {
    engine?.free();
    await adapter.end();
  }
}

/**
 * Prisma's adapter cuts a script at every semicolon, inside strings and function bodies too, and commits each piece by
 * itself. This one sends a migration whole: PostgreSQL runs a message of several statements as one transaction. The
 * statement added to it makes "the script took effect" and "the record says finished" the same fact.
 */
class WholeScriptAdapter implements SqlMigrationAwareDriverAdapterFactory {
  readonly #pool: pg.Pool;
  readonly #prisma: PrismaPg;
  readonly #migrationScripts: ReadonlySet<string>;
  readonly provider = 'postgres';
  readonly adapterName: string;
  lastScriptError: Error | undefined;

  constructor(databaseUrl: string, migrations: MigrationList) {
    // One connection, so that the engine's own session-level lock and its statements share a session.
    this.#pool = new pg.Pool({
      connectionString: databaseUrl,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: 'posthorn-migrate',
      max: 1,
    });
    // An idle connection that is cut is reported by the statement that comes next.
    this.#pool.on('error', () => undefined);
    this.#prisma = new PrismaPg(this.#pool);
    this.adapterName = this.#prisma.adapterName;
    this.#migrationScripts = new Set(
      migrations.migrationDirectories.flatMap(({ migrationFile: { content } }) =>
        content.tag === 'ok' ? [content.value] : [],
      ),
    );
  }

  async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await this.#prisma.connect();
    adapter.executeScript = async (script) => {
      try {
        await this.#pool.query(this.#withFinish(script));
      } catch (error) {
        if (error instanceof Error) this.lastScriptError = error;
        throw toAdapterError(error);
      }
    };
    return adapter;
  }

  connectToShadowDb(): ReturnType<PrismaPg['connectToShadowDb']> {
    return this.#prisma.connectToShadowDb();
  }

  /** The engine leaves the connection open. */
  async end(): Promise<void> {
    await this.#pool.end();
  }

  #withFinish(script: string): string {
    if (!this.#migrationScripts.has(script)) return script;
    const finish =
      'UPDATE _prisma_migrations SET finished_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL';
    return `${script}\n;\n${finish};`;
  }
}

/** The form in which the engine understands an error, so that it is written to `_prisma_migrations.logs`. */
function toAdapterError(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError)) return error;
  return new DriverAdapterError({
    kind: 'postgres',
    code: error.code ?? '',
    severity: error.severity ?? 'ERROR',
    message: error.message,
    detail: error.detail,
    column: error.column,
    hint: error.hint,
  });
}

/** The one call that is needed of a global which only TypeScript's browser library declares. */
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array,
    imports: Record<string, unknown>,
  ): Promise<{ instance: { exports: { __wbindgen_start: () => void } } }>;
};

let engineModule: Promise<typeof schemaEngine> | undefined;

/** The package's own entry imports its .wasm file as an ES module, which Node does only behind a flag. */
async function loadEngineModule(): Promise<typeof schemaEngine> {
  const glue = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const { instance } = await WebAssembly.instantiate(
    await readFile(join(dirname(glue), 'schema_engine_bg.wasm')),
    {
      './schema_engine_bg.js': withTimersThatLetGo(schemaEngine),
    },
  );
  schemaEngine.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return schemaEngine;
}

/**
 * The engine bounds its own wait for a lock with a timer of 10 s that it never clears; a process that has migrated
 * would stay alive for it. The generated name of the import ends in a hash.
 */
function withTimersThatLetGo(imports: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(imports).map(([name, value]: [string, unknown]) => [
      name,
      name.startsWith('__wbg_setTimeout_')
        ? (callback: () => void, delayMs: number) => setTimeout(callback, delayMs >>> 0).unref()
        : value,
    ]),
  );
}

async function newSchemaEngine(adapter: WholeScriptAdapter): Promise<SchemaEngine> {
  engineModule ??= loadEngineModule();
  const { SchemaEngine } = await engineModule;
  const ignoreEngineLog = (): void => undefined;
  return SchemaEngine.new(
    { datamodels: undefined },
    ignoreEngineLog,
    bindMigrationAwareSqlAdapterFactory(adapter),
  );
}
