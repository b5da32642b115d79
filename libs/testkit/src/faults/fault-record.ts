import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What one fault cost: a row of the table that `npm run test:faults` ends with. */
export interface FaultRecord {
  readonly fault: string;
  readonly lost: number;
  readonly duplicates: number;
  /** Milliseconds from the end of the fault to the end of each delivery; null: there was none. */
  readonly recoveryMs: { readonly p50: number; readonly max: number } | null;
  readonly deliveries: number;
}

/** Records stay here until a run of all faults removes them. */
const FAULT_RECORDS = join(
  import.meta.dirname,
  '..',
  '..',
  '..',
  '..',
  'node_modules',
  '.cache',
  'posthorn-faults',
);

export function recordFault(record: FaultRecord): void {
  mkdirSync(FAULT_RECORDS, { recursive: true });
  const name = record.fault.replaceAll(/[^A-Za-z0-9]+/g, '-').toLowerCase();
  writeFileSync(join(FAULT_RECORDS, `${name}.json`), JSON.stringify(record));
}

export function distributionOf(milliseconds: readonly number[]): FaultRecord['recoveryMs'] {
  if (milliseconds.length === 0) return null;
  const sorted = milliseconds.toSorted((a, b) => a - b);
  return {
    p50: Math.round(sorted[Math.ceil(sorted.length / 2) - 1] as number),
    max: Math.round(sorted.at(-1) as number),
  };
}
