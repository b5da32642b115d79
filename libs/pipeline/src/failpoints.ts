/** The instants at which a process can be made to die, each between two steps that must not depend on each other. */
export const FAILPOINTS = ['after-commit', 'before-answer', 'before-send', 'after-response'] as const;

/**
 * `after-commit`: accept has committed and nothing was dispatched. `before-answer`: hints are on their way, and no 202 is.
 * `before-send`: a delivery is claimed, and no byte has left. `after-response`: the receiver has answered, and nothing
 * is settled.
 */
export type Failpoint = (typeof FAILPOINTS)[number];

/** Called where a failpoint stands. Returns at once unless that one is armed. */
export type ReachFailpoint = (failpoint: Failpoint) => void;

/** What every process has that is not being tested by faults. */
export const UNARMED: ReachFailpoint = () => undefined;

/**
 * @param specification `after-response:kill`, or `after-response:kill@20` for the twentieth time that it is reached;
 * several are joined by commas. Undefined or empty: nothing is armed.
 * @param kill ends the process and does not return
 * @throws {RangeError} naming what is no failpoint; a process that was to die must not live on by a misspelling
 */
export function armFailpoints(specification: string | undefined, kill: () => void): ReachFailpoint {
  if (specification === undefined || specification === '') return UNARMED;
  const countdown = new Map(specification.split(',').map(parse));
  return (failpoint) => {
    const left = countdown.get(failpoint);
    if (left === undefined) return;
    countdown.set(failpoint, left - 1);
    if (left === 1) kill();
  };
}

function parse(text: string): [Failpoint, number] {
  const match = SPECIFICATION.exec(text.trim());
  const failpoint = FAILPOINTS.find((name) => name === match?.[1]);
  const times = Number(match?.[2] ?? 1);
  if (failpoint === undefined || times < 1) {
    throw new RangeError(`${text} is no failpoint: ${FAILPOINTS.join(', ')}, then :kill or :kill@<times>`);
  }
  return [failpoint, times];
}

const SPECIFICATION = /^([a-z-]+):kill(?:@(\d{1,6}))?$/;
