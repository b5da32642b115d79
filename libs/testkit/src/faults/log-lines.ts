import type { PosthornProcess } from '../processes.js';

/** Lines of a process at `warn` or worse since it had written so many lines, by their message. */
export function complaintsOf({ lines }: PosthornProcess, sinceLine = 0): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines.slice(sinceLine)) {
    const message = complaintIn(line);
    if (message !== null) counts.set(message, (counts.get(message) ?? 0) + 1);
  }
  return counts;
}

/** What is no JSON was not written by our logger, and is a complaint by that alone. */
function complaintIn(line: string): string | null {
  try {
    const { level, msg } = JSON.parse(line) as { level?: number | string; msg?: string };
    return level === 30 || level === 'info' || level === 'debug' ? null : String(msg);
  } catch {
    return line;
  }
}
