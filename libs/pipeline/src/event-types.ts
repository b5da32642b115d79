import { LRUCache } from 'lru-cache';

/** What accept needs to know of the operator's catalogue of event types. Each call is one statement. */
export interface EventTypeStore {
  /** Every type, archived ones too, with the version of the catalogue that this is true for. */
  loadEventTypes(): Promise<EventTypeCatalogue>;
  /** A type's schema as of its version, as the operator wrote it; null when it has changed since. */
  loadEventTypeSchema(name: string, version: bigint): Promise<Uint8Array | null>;
  loadCatalogueVersion(): Promise<bigint>;
}

export interface EventTypeCatalogue {
  readonly version: bigint;
  readonly types: ReadonlyMap<string, EventTypeEntry>;
}

export interface EventTypeEntry {
  /** Of the catalogue when this type was last changed. */
  readonly version: bigint;
  readonly isArchived: boolean;
  readonly hasSchema: boolean;
  /** JSON Pointers to what is masked of the type's data. */
  readonly redact: readonly string[];
}

/** Something in an event's data that breaks the schema of its type. */
export interface DataProblem {
  /** JSON Pointer into data. */
  readonly pointer: string;
  /** Names what was expected, and never what was there. */
  readonly message: string;
}

/** What is wrong with data; empty when it fits. */
export type CheckData = (data: Uint8Array) => readonly DataProblem[];
/** Makes a check of a schema's JSON text. */
export type CompileSchema = (schema: Uint8Array) => CheckData;

/**
 * The catalogue of event types. Cached whole, never by time: the version that events were judged by is checked again by the
 * transaction that writes them. An installation without a catalogue asks for it once.
 */
export class EventTypes {
  private known: EventTypeCatalogue | null = null;
  private loading: Promise<EventTypeCatalogue> | null = null;
  private readonly checks = new LRUCache<string, CheckData>({ max: CHECKS_MAX });

  constructor(
    private readonly store: EventTypeStore,
    private readonly compile: CompileSchema,
  ) {}

  /** All that is needed to judge events of these types at once. */
  async of(types: Iterable<string>): Promise<JudgedTypes> {
    for (;;) {
      const catalogue = this.known ?? (await this.load());
      const checks = catalogue.types.size === 0 ? NO_CHECKS : await this.checksOf(catalogue, types);
      if (checks !== null) return new JudgedTypes(catalogue, checks);
      this.forget(catalogue.version);
    }
  }

  /** Whether the catalogue is still what these events were judged by; forgets what is not. */
  async isCurrent({ version }: JudgedTypes): Promise<boolean> {
    if ((await this.store.loadCatalogueVersion()) === version) return true;
    this.forget(version);
    return false;
  }

  forget(version: bigint): void {
    if (this.known?.version === version) this.known = null;
  }

  private load(): Promise<EventTypeCatalogue> {
    this.loading ??= this.store
      .loadEventTypes()
      .then((loaded) => (this.known = loaded))
      .finally(() => (this.loading = null));
    return this.loading;
  }

  /** Null when the catalogue has changed in the meantime. */
  private async checksOf(
    { types: entries }: EventTypeCatalogue,
    types: Iterable<string>,
  ): Promise<ReadonlyMap<string, CheckData> | null> {
    const checks = new Map<string, CheckData>();
    for (const name of types) {
      const entry = entries.get(name);
      if (entry?.hasSchema !== true || entry.isArchived || checks.has(name)) continue;
      const check = await this.checkOf(name, entry.version);
      if (check === null) return null;
      checks.set(name, check);
    }
    return checks;
  }

  private async checkOf(name: string, version: bigint): Promise<CheckData | null> {
    const key = `${name} ${version}`;
    const known = this.checks.get(key);
    if (known !== undefined) return known;
    const schema = await this.store.loadEventTypeSchema(name, version);
    if (schema === null) return null;
    // Another request may have compiled it in the meantime; compiling takes far longer than looking.
    const check = this.checks.get(key) ?? this.compile(schema);
    this.checks.set(key, check);
    return check;
  }
}

/** The catalogue at one version, with the checks of the types that were asked for. */
export class JudgedTypes {
  readonly version: bigint;

  constructor(
    private readonly catalogue: EventTypeCatalogue,
    private readonly checks: ReadonlyMap<string, CheckData>,
  ) {
    this.version = catalogue.version;
  }

  isArchived(type: string): boolean {
    return this.catalogue.types.get(type)?.isArchived ?? false;
  }

  problemsOf(type: string, data: Uint8Array): readonly DataProblem[] {
    return this.checks.get(type)?.(data) ?? [];
  }

  redactionsOf(type: string): readonly string[] {
    return this.catalogue.types.get(type)?.redact ?? [];
  }
}

const NO_CHECKS: ReadonlyMap<string, CheckData> = new Map();
/** Compiled schemas, at some hundred kilobytes for the largest. Producers send dozens of types. */
const CHECKS_MAX = 500;
