import type { MerchantState } from './gate.js';
import { DelayHistogram } from './measures.js';
import { LOAD } from './parameters.js';

/** Whose delays are told apart. */
export const GROUPS = [
  'all',
  'wellBehaved',
  'ordinary',
  'fattest',
  'hanging',
  'slow',
  'failing',
  'besideBurst',
  'burster',
] as const;
export type Group = (typeof GROUPS)[number];
export type Delays = Readonly<Record<Group, DelayHistogram>>;

export interface MeasuredTime {
  readonly fromMs: number;
  readonly toMs: number;
  readonly burstFromMs: number;
  readonly burstToMs: number;
}

/** An event is prompt that sets out within this, as fairness counts it. */
const PROMPT_MS = 1_000;

export function noDelays(): Delays {
  return Object.fromEntries(GROUPS.map((group) => [group, new DelayHistogram()])) as Record<
    Group,
    DelayHistogram
  >;
}

/** From the arrival of an event to the moment its first request sets out, for what arrives in the time that is measured. */
export class ShardMeasures {
  readonly delays = noDelays();

  constructor(
    private readonly time: MeasuredTime,
    private readonly hasBurst: boolean,
  ) {}

  setOut(merchant: MerchantState, acceptedMs: number, sentMs: number): void {
    const { fromMs, toMs, burstFromMs, burstToMs } = this.time;
    if (acceptedMs < fromMs || acceptedMs >= toMs) return;
    const delayMs = sentMs - acceptedMs;
    this.delays.all.add(delayMs);
    if (this.hasBurst && acceptedMs >= burstFromMs && acceptedMs < burstToMs) {
      if (merchant.isBurster) this.delays.burster.add(delayMs);
      else if (isOrdinary(merchant)) this.delays.besideBurst.add(delayMs);
      return;
    }
    merchant.events++;
    merchant.delayMs += delayMs;
    if (delayMs <= PROMPT_MS) merchant.prompt++;
    this.addOf(merchant, delayMs);
  }

  private addOf(merchant: MerchantState, delayMs: number): void {
    const { delays } = this;
    switch (merchant.kind) {
      case 'good':
        delays.wellBehaved.add(delayMs);
        if (isOrdinary(merchant)) delays.ordinary.add(delayMs);
        if (merchant.rank === 1) delays.fattest.add(delayMs);
        return;
      case 'hanging':
        delays.hanging.add(delayMs);
        return;
      case 'slow':
        delays.slow.add(delayMs);
        return;
      case 'flaky':
      case 'dead':
        delays.failing.add(delayMs);
        return;
    }
  }
}

function isOrdinary({ kind, rank, isBurster }: MerchantState): boolean {
  return kind === 'good' && rank > LOAD.fatRanks && !isBurster;
}
