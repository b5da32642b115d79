/**
 * The generator xoshiro128** of Blackman and Vigna (public domain, <https://prng.di.unimi.it>), its state filled from a seed by
 * splitmix32. The same seed gives the same numbers on every machine.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;
  private spareNormal: number | null = null;

  constructor(seed: number) {
    let state = seed | 0;
    const split = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    [this.a, this.b, this.c, this.d] = [split(), split(), split(), split()];
  }

  /** Uniform in [0, 1), in steps of 2^-32. */
  uniform(): number {
    const result = Math.imul(rotate(Math.imul(this.b, 5), 7), 9) >>> 0;
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = rotate(this.d, 11);
    return result * 2 ** -32;
  }

  /** A whole number from 0 up to, and without, `count`. */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.uniform());
  }

  logNormal(median: number, sigma: number): number {
    return median * Math.exp(sigma * this.normal());
  }

  /** Box and Muller: two at a time. */
  private normal(): number {
    if (this.spareNormal !== null) {
      const spare = this.spareNormal;
      this.spareNormal = null;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** Draws things by their weight, each draw in constant time (Walker's alias method, built as Vose does). */
export class WeightedChoice<Thing> {
  private readonly columns: { readonly own: Thing; share: number; alias: Thing }[];

  /** @param things at least one, of a weight above 0 */
  constructor(things: readonly Thing[], weightOf: (thing: Thing) => number) {
    const total = things.reduce((sum, thing) => sum + weightOf(thing), 0);
    this.columns = things.map((own) => ({
      own,
      share: (weightOf(own) / total) * things.length,
      alias: own,
    }));
    const small = this.columns.filter(({ share }) => share < 1);
    const large = this.columns.filter(({ share }) => share >= 1);
    for (let poor = small.pop(); poor !== undefined; poor = small.pop()) {
      const rich = large.pop();
      if (rich === undefined) break;
      poor.alias = rich.own;
      rich.share -= 1 - poor.share;
      (rich.share < 1 ? small : large).push(rich);
    }
  }

  draw(random: Random): Thing {
    const column = this.columns[random.below(this.columns.length)] as (typeof this.columns)[number];
    return random.uniform() < column.share ? column.own : column.alias;
  }
}
