/** Why the demo cannot go on; `message` is a line for the person who started it. */
export class DemoError extends Error {
  override readonly name = 'DemoError';
}
