import { readFile } from 'node:fs/promises';

/** As Node's `--cpu-prof` writes it. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** A function where it was called from, and what was spent in it and below it. */
export interface Frame {
  readonly name: string;
  /** A package, `node:` for Node's own, `posthorn` for ours, or a bracketed word of V8's. */
  readonly owner: string;
  /** Microseconds in it and in what it called. */
  totalUs: number;
  selfUs: number;
  readonly children: Map<string, Frame>;
}

/** @param skipShare the part at the beginning that is left out: code is being compiled then */
export async function readCpuProfile(file: string, skipShare: number): Promise<Frame> {
  const profile = JSON.parse(await readFile(file, 'utf8')) as CpuProfile;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const { id, children = [] } of profile.nodes) for (const child of children) parents.set(child, id);
  const selfUs = new Map<number, number>();
  const skipUs = profile.timeDeltas.reduce((sum, us) => sum + us, 0) * skipShare;
  let atUs = 0;
  for (const [index, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[index] ?? 0;
    atUs += us;
    if (atUs >= skipUs) selfUs.set(id, (selfUs.get(id) ?? 0) + us);
  }
  const root = frame('all', 'all');
  for (const [id, us] of selfUs) {
    const path: number[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) path.unshift(at);
    const names = path.slice(1).map((step) => nodes.get(step)?.callFrame);
    if (names.at(-1)?.functionName === '(idle)') continue;
    let into = root;
    into.totalUs += us;
    for (const callFrame of names) {
      if (callFrame === undefined) continue;
      const name = nameOf(callFrame);
      let next = into.children.get(name);
      if (next === undefined) into.children.set(name, (next = frame(name, ownerOf(callFrame))));
      next.totalUs += us;
      into = next;
    }
    into.selfUs += us;
  }
  return root;
}

/** What was spent in functions themselves, summed by what `by` gives, most first: shares of all. */
export function mostSpent(root: Frame, by: (of: Frame) => string): [name: string, share: number][] {
  const sums = new Map<string, number>();
  const walk = (of: Frame): void => {
    sums.set(by(of), (sums.get(by(of)) ?? 0) + of.selfUs);
    for (const child of of.children.values()) walk(child);
  };
  walk(root);
  return [...sums].sort(([, a], [, b]) => b - a).map(([name, us]) => [name, us / root.totalUs]);
}

function frame(name: string, owner: string): Frame {
  return { name, owner, totalUs: 0, selfUs: 0, children: new Map() };
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const place = url.replace(/^.*\/node_modules\//, '').replace(/^.*\/dist\//, '');
  const name = functionName === '' ? '(anonymous)' : functionName;
  return place === '' ? name : `${name} ${place}:${lineNumber + 1}`;
}

function ownerOf({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): string {
  const inPackage = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (inPackage !== undefined) return inPackage;
  if (url.startsWith('node:')) return 'node:';
  if (url.includes('/dist/')) return 'posthorn';
  return url === '' ? functionName : 'other';
}
