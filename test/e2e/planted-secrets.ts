import { randomBytes } from 'node:crypto';

/** A value that must not turn up somewhere, and what it is. */
export interface Planted {
  readonly what: string;
  readonly value: string | Uint8Array;
}

/** Nothing else says this by chance. Letters and digits only, so that no escape changes how it is written. */
export function marker(what: string): string {
  return `planted${what}${randomBytes(12).toString('hex')}`;
}

/** Which of the planted values are in a text: as they are, or in hexadecimal or base64, alone or as a part of more. */
export function foundIn(text: string, planted: readonly Planted[]): string[] {
  const lower = text.toLowerCase();
  return planted.flatMap(({ what, value }) => {
    const bytes = Buffer.from(value);
    const forms: [string, boolean][] = [
      ['in hexadecimal', lower.includes(bytes.toString('hex'))],
      ...base64Cores(bytes).map((core): [string, boolean] => ['in base64', text.includes(core)]),
    ];
    if (typeof value === 'string') forms.push(['in clear', text.includes(value)]);
    return forms.filter(([, isThere]) => isThere).map(([form]) => `${what} ${form}`);
  });
}

/**
 * How base64 writes bytes that stand within others, at each of the three alignments, in both alphabets: without the
 * characters at the ends, which depend on the neighbours.
 */
function base64Cores(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const core = encoded.slice(offset === 0 ? 0 : offset + 1, -1);
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
}
