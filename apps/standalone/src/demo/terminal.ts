import { styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Erases the line that the cursor is in, and puts it at the line's beginning. */
const ERASE_LINE = '\r\u001B[2K';

/** What a terminal without a size is taken for. */
const COLUMNS_DEFAULT = 80;

/** Writes for a person: with colours and a line that moves on a terminal, as plain lines anywhere else. */
export class Terminal {
  #frame = 0;
  #inProgress = false;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  /** Colours are left out where the stream is no terminal, and where NO_COLOR says so. */
  styled(style: Style, text: string): string {
    return styleText(style, text, { stream: this.stream });
  }

  print(...lines: readonly string[]): void {
    this.endProgress();
    this.stream.write(`${lines.join('\n')}\n`);
  }

  /** Shows how far it is, in a line that the next text replaces; off a terminal nothing. */
  progress(text: string): void {
    if (!this.stream.isTTY) return;
    const frame = SPINNER[this.#frame % SPINNER.length] ?? '';
    const room = (this.stream.columns || COLUMNS_DEFAULT) - 3;
    this.stream.write(`${ERASE_LINE}${this.styled('cyan', frame)} ${text.slice(0, room)}`);
    this.#frame += 1;
    this.#inProgress = true;
  }

  endProgress(): void {
    if (this.#inProgress) this.stream.write(ERASE_LINE);
    this.#inProgress = false;
  }
}
