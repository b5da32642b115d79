const PORT_MAX = 65_535;

interface PortRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

export type PortRanges = readonly PortRange[];

/**
 * Reads a list such as `80,443,1024-65535`: single ports and inclusive ranges, spaces around them ignored.
 *
 * @throws {RangeError} naming the entry that is not a port from 1 to 65535 or an ascending range of them.
 */
export function parsePortRanges(text: string): PortRanges {
  return text.split(',').map((entry) => {
    const digits = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?$/.exec(entry);
    const first = Number(digits?.[1] ?? Number.NaN);
    const last = Number(digits?.[2] ?? first);
    if (!(first >= 1 && first <= last && last <= PORT_MAX)) {
      throw new RangeError(
        `not a port or a range of ports, such as 443 or 1024-65535: ${JSON.stringify(entry)} in ${JSON.stringify(text)}`,
      );
    }
    return { first, last };
  });
}

export function isPortIn(ranges: PortRanges, port: number): boolean {
  return ranges.some(({ first, last }) => first <= port && port <= last);
}
