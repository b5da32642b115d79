import { styleText } from 'node:util';

/** The part of a terminal that is written to. */
export interface TerminalOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * Where the log goes: to a terminal as lines for a person, to anything else as the JSON lines that machines expect.
 */
export function logDestination(output: TerminalOutput): { write(line: string): void } {
  return { write: (line) => void output.write(output.isTTY === true ? readable(line) : line) };
}

/** What is used of a log line, as pino writes it. */
interface LogLine {
  readonly level: number;
  readonly time: string;
  readonly msg?: string;
  readonly err?: { readonly message?: string; readonly stack?: string };
}

/** pino's numbers. */
const WARN = 40;
const ERROR = 50;

/** An error of ours comes with its stack; a warning, which is mostly of something that is away for a while, does not. */
function readable(json: string): string {
  const { level, time, msg = '', err } = JSON.parse(json) as LogLine;
  const at = new Date(time).toTimeString().slice(0, 'hh:mm:ss'.length);
  if (level < WARN) return `${styleText('dim', at)} ${msg}\n`;
  const text = [msg, err?.message].filter(Boolean).join(': ');
  if (level < ERROR) return `${styleText('dim', at)} ${styleText('yellow', 'warning:')} ${text}\n`;
  return `${styleText('dim', at)} ${styleText('red', 'error:')} ${text}\n${stackOf(err)}`;
}

/** Without its first lines, which repeat the message. */
function stackOf(err: LogLine['err']): string {
  const frames = (err?.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return frames.map((frame) => `${frame}\n`).join('');
}
