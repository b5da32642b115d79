const SEVERITY = /\b(?:error|ERROR|FATAL|PANIC): +/;

/**
 * Why a program of PostgreSQL failed, in one line: the last message of a severity that ends it, without time and process
 * number, else the last thing it said. It always speaks English here (LC_ALL=C).
 */
export function failureIn(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const failure = lines.findLast((line) => SEVERITY.test(line));
  if (failure === undefined) return lines.at(-1)?.trim() ?? 'it gave no reason';
  return failure.slice(failure.search(SEVERITY)).replace(SEVERITY, '').trim();
}

/** Whether the output has a message of a severity that ends a statement or the program. */
export function hasFailure(output: string): boolean {
  return SEVERITY.test(output);
}
