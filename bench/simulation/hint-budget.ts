import type { Gate, Lane } from './gate.js';
import { HINT_BUDGET } from './parameters.js';

/** `libs/pipeline/src/hint-budget.ts` of one process, for one lane, in simulated time. */
export class HintBudget {
  private bound: number = HINT_BUDGET.boundStart;
  private room: number = HINT_BUDGET.boundStart;
  private lookedAtMs = -Infinity;
  private wasShort = false;
  private window = 0;
  private windowStartedMs = -Infinity;

  constructor(
    private readonly waiting: (lane: Lane) => number,
    private readonly lane: Lane,
    private readonly process: number,
  ) {}

  get perEndpointMax(): number {
    return Math.floor(this.bound * HINT_BUDGET.endpointShare);
  }

  take(gate: Gate, nowMs: number): boolean {
    this.refresh(nowMs);
    if (nowMs - this.windowStartedMs > HINT_BUDGET.shareWindowMs) {
      this.windowStartedMs = nowMs;
      this.window++;
    }
    const { process, window } = this;
    const ofGate = gate.hinted(process, window);
    const ofMerchant = gate.merchant.hinted(process, window);
    const isRefused =
      this.room <= 0 || ofGate >= this.perEndpointMax || ofMerchant >= this.bound * HINT_BUDGET.merchantShare;
    if (isRefused) {
      this.wasShort = true;
      return false;
    }
    gate.setHinted(process, window, ofGate + 1);
    gate.merchant.setHinted(process, window, ofMerchant + 1);
    this.room--;
    return true;
  }

  available(nowMs: number): number {
    this.refresh(nowMs);
    return Math.max(0, this.room);
  }

  sweptFull(): void {
    this.wasShort = true;
  }

  private refresh(nowMs: number): void {
    if (nowMs - this.lookedAtMs < HINT_BUDGET.lookEveryMs) return;
    this.lookedAtMs = nowMs;
    const waiting = this.waiting(this.lane);
    const { bound } = this;
    if (waiting < bound / 10 && this.wasShort) this.bound = Math.min(bound * 1.5, HINT_BUDGET.boundMax);
    else if (waiting > bound / 2) this.bound = Math.max(bound * 0.9, HINT_BUDGET.boundMin);
    this.wasShort = false;
    this.room = Math.floor(this.bound - waiting);
  }
}
