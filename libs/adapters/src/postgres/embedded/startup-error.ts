/**
 * Something on this machine keeps the embedded PostgreSQL from starting. `message` is one line that says what, and where
 * it can what to do: the process prints it and exits with 1.
 */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
