import { timingSafeEqual } from 'node:crypto';
import {
  AUDIT_CHAIN_START,
  auditChainMac,
  auditPayloadHash,
  type ChainedEntry,
} from '#domain/audit-chain.js';
import { formatId, ID_PREFIXES } from '#domain/ids.js';
import type { SecretBox } from '#pipeline/secret-box.js';
import { type AuditHead, CHAINED_COLUMNS, chainKey } from './audit-chain.js';
import type { Database } from './database.js';

/** What is wrong with the audit log, in a line for a person. */
export type ReportFinding = (finding: string) => void;

export interface AuditVerdict {
  /** Sealed entries that are there. */
  readonly entries: number;
  /** Of them, those whose payload an erasure has taken. */
  readonly erased: number;
  /** Written a moment ago, or while no worker runs: nothing protects them yet. */
  readonly unsealed: number;
  /** The last entry; null: there is none. */
  readonly head: AuditHead | null;
  readonly findings: number;
}

interface StoredEntry extends ChainedEntry {
  readonly payload: string | null;
  readonly salt: Uint8Array | null;
  readonly chainMac: Uint8Array | null;
}

/**
 * Reads the whole audit log in the order of its chain and finds what is not as it was sealed. An entry that was altered
 * or moved is found by itself, one that is missing by the gap, and the end that was cut off by the heads: only what was
 * written down elsewhere can tell that.
 *
 * @param heads heads that were logged
 * @throws {Error} when the encryption keys do not open the key of the chain
 */
export async function verifyAuditLog(
  database: Database,
  box: SecretBox,
  heads: readonly AuditHead[],
  report: ReportFinding,
): Promise<AuditVerdict> {
  const walk = new ChainWalk(await chainKey(database, box), heads, report);
  for (;;) {
    const batch = await database.$queryRaw<StoredEntry[]>`
      SELECT ${CHAINED_COLUMNS}, sequence, payload, salt, chain_mac AS "chainMac" FROM audit_log
      WHERE sequence > ${walk.position} ORDER BY sequence LIMIT ${BATCH_ENTRIES}`;
    if (batch.length === 0) break;
    const asked = await erasuresAskedFor(database, batch);
    for (const entry of batch) walk.step(entry, asked);
  }
  walk.end();
  const [rest] = await database.$queryRaw<{ unsealed: bigint }[]>`
    SELECT count(*) AS unsealed FROM audit_log WHERE sequence IS NULL`;
  return { ...walk.verdict(), unsealed: Number(rest?.unsealed ?? 0) };
}

class ChainWalk {
  /** Below every sequence that a row could be given. */
  position = -(2n ** 63n);
  #entries = 0;
  #erased = 0;
  #findings = 0;
  #last: AuditHead | null = null;
  /** What the entry before should have had, for when its own MAC was altered; null after a gap. */
  #previous: readonly Uint8Array[] = [AUDIT_CHAIN_START];
  #expected = 1n;
  readonly #heads: Map<bigint, Uint8Array>;

  constructor(
    private readonly key: Uint8Array | null,
    heads: readonly AuditHead[],
    private readonly report: ReportFinding,
  ) {
    this.#heads = new Map(heads.map(({ sequence, mac }) => [sequence, mac]));
  }

  step(entry: StoredEntry, erasuresAskedFor: ReadonlySet<string>): void {
    const { sequence } = entry;
    if (this.key === null) this.#find(`entry ${nameOf(entry)} is sealed, but the key of the chain is gone`);
    else this.#judge(entry, this.key);
    this.#judgePayload(entry, erasuresAskedFor);
    this.#compareHead(sequence, entry.chainMac);
    this.position = sequence;
    this.#expected = sequence + 1n;
    this.#entries += 1;
    this.#last = { sequence, mac: entry.chainMac ?? AUDIT_CHAIN_START };
  }

  end(): void {
    const last = this.#last?.sequence ?? 0n;
    for (const sequence of this.#heads.keys()) {
      this.#find(`the log was cut off: it ends at ${last}, and the head ${sequence} was logged once`);
    }
  }

  verdict(): Omit<AuditVerdict, 'unsealed'> {
    return {
      entries: this.#entries,
      erased: this.#erased,
      head: this.#last,
      findings: this.#findings,
    };
  }

  #judge(entry: StoredEntry, key: Uint8Array): void {
    const stored = entry.chainMac;
    const isGap = entry.sequence > this.#expected;
    if (isGap) this.#find(missing(this.#expected, entry.sequence - 1n));
    // What stood before a gap is not known, so the entry after it cannot be judged by its MAC.
    const computed = isGap ? [] : this.#previous.map((previous) => auditChainMac(key, previous, entry));
    const isSealed = isGap || computed.some((mac) => stored !== null && isEqual(mac, stored));
    if (!isSealed) this.#find(`entry ${nameOf(entry)} is not as it was sealed: altered, or moved here`);
    this.#previous = [...(stored === null ? [] : [stored]), ...(isSealed ? [] : computed)];
  }

  #judgePayload(entry: StoredEntry, erasuresAskedFor: ReadonlySet<string>): void {
    const { payload, salt, merchantId } = entry;
    if (payload !== null && salt !== null) {
      if (!isEqual(auditPayloadHash(salt, payload), entry.payloadHash))
        this.#find(`entry ${nameOf(entry)} has another payload than was sealed`);
      return;
    }
    this.#erased += 1;
    if (merchantId === null || !erasuresAskedFor.has(merchantId))
      this.#find(`entry ${nameOf(entry)} has lost its payload, and nobody asked for the erasure`);
  }

  #compareHead(sequence: bigint, mac: Uint8Array | null): void {
    const logged = this.#heads.get(sequence);
    if (logged === undefined) return;
    this.#heads.delete(sequence);
    if (mac === null || !isEqual(mac, logged))
      this.#find(
        `entry ${sequence} is another than the one whose head was logged: the log was cut off before`,
      );
  }

  #find(finding: string): void {
    this.#findings += 1;
    this.report(finding);
  }
}

/** Which merchants of these entries have a `merchant.erased` in the log. */
async function erasuresAskedFor(
  database: Database,
  batch: readonly StoredEntry[],
): Promise<ReadonlySet<string>> {
  const erased = batch.flatMap(({ merchantId, payload }) =>
    merchantId !== null && payload === null ? [merchantId] : [],
  );
  if (erased.length === 0) return new Set();
  const rows = await database.$queryRaw<{ id: string }[]>`
    SELECT m.id FROM unnest(${[...new Set(erased)]}::uuid[]) AS m (id)
    WHERE EXISTS (SELECT FROM audit_log a WHERE a.merchant_id = m.id AND a.action = 'merchant.erased')`;
  return new Set(rows.map(({ id }) => id));
}

function missing(first: bigint, last: bigint): string {
  return first === last ? `entry ${first} is missing` : `entries ${first} to ${last} are missing`;
}

function nameOf({ sequence, id }: StoredEntry): string {
  return `${sequence} (${formatId(ID_PREFIXES.auditEntry, id)})`;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b);
}

/** A few hundred kilobytes at a time, however long the log is. */
const BATCH_ENTRIES = 1_000;
