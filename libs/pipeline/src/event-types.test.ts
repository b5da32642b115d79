import { beforeEach, describe, expect, test } from '@jest/globals';
import { type EventTypeEntry, EventTypes, type EventTypeStore } from './event-types.js';

const DATA = Buffer.from('{}');

/** A catalogue in memory that counts what it is asked for. */
class MemoryStore implements EventTypeStore {
  readonly asked: string[] = [];
  readonly types = new Map<string, EventTypeEntry>();
  version = 1n;

  put(name: string, entry: Partial<EventTypeEntry> = {}): void {
    this.version += 1n;
    const defaults = { isArchived: false, hasSchema: true, redact: [] };
    this.types.set(name, { ...defaults, ...entry, version: this.version });
  }

  loadEventTypes() {
    this.asked.push('types');
    return Promise.resolve({ version: this.version, types: new Map(this.types) });
  }

  loadEventTypeSchema(name: string, version: bigint) {
    this.asked.push(`schema ${name}`);
    return Promise.resolve(this.types.get(name)?.version === version ? Buffer.from(name) : null);
  }

  loadCatalogueVersion() {
    this.asked.push('version');
    return Promise.resolve(this.version);
  }
}

let store: MemoryStore;
let compiled: string[];
let types: EventTypes;

beforeEach(() => {
  store = new MemoryStore();
  compiled = [];
  types = new EventTypes(store, (schema) => {
    const name = Buffer.from(schema).toString();
    compiled.push(name);
    return () => [{ pointer: '/a', message: name }];
  });
});

test('an empty catalogue is asked for once, also by many at once', async () => {
  await Promise.all(Array.from({ length: 10 }, () => types.of(['a'])));
  const judged = await types.of(['b', 'c']);
  expect(judged.problemsOf('b', DATA)).toEqual([]);
  expect(judged.isArchived('b')).toBe(false);
  expect(store.asked).toEqual(['types']);
});

describe('a catalogue with types', () => {
  test('has a schema loaded and compiled when an event of its type first comes, once a version', async () => {
    store.put('a');
    store.put('b');
    for (let round = 0; round < 3; round++) {
      const judged = await types.of(['a', 'unknown', 'constructor']);
      expect(judged.problemsOf('a', DATA)).toEqual([{ pointer: '/a', message: 'a' }]);
      expect(judged.problemsOf('unknown', DATA)).toEqual([]);
    }
    store.put('b');
    types.forget((await types.of([])).version);
    await types.of(['a', 'b']);
    expect(compiled).toEqual(['a', 'b']);
    expect(store.asked).toEqual(['types', 'schema a', 'types', 'schema b']);
  });

  test('is loaded anew when a schema has changed since', async () => {
    store.put('a');
    const before = await types.of([]);
    store.put('a');
    const judged = await types.of(['a']);
    expect(judged.version).toBe(before.version + 1n);
    expect(store.asked).toEqual(['types', 'schema a', 'types', 'schema a']);
  });

  test('is current until it changes, and is forgotten then', async () => {
    store.put('a', { isArchived: true, redact: ['/x'] });
    const judged = await types.of(['a']);
    expect([judged.isArchived('a'), judged.redactionsOf('a')]).toEqual([true, ['/x']]);
    expect(await types.isCurrent(judged)).toBe(true);
    store.put('a', { hasSchema: false });
    expect(await types.isCurrent(judged)).toBe(false);
    expect((await types.of(['a'])).isArchived('a')).toBe(false);
    expect(compiled).toEqual([]);
  });

  test('that was forgotten already is not forgotten again', async () => {
    const old = await types.of([]);
    store.put('a');
    types.forget(old.version);
    await types.of([]);
    types.forget(old.version);
    await types.of([]);
    expect(store.asked).toEqual(['types', 'types']);
  });
});
