/** One thing that must hold before traffic is welcome. */
export interface ReadinessCheck {
  /** As it stands in the answer of /readyz, such as `database`. */
  readonly name: string;
  /** What is wrong, in one line for the operator, or null. A rejection counts as wrong too. */
  problem(): Promise<string | null>;
}

/** A probe gives up after about this long everywhere; an answer that comes later helps nobody. */
const CHECK_TIMEOUT_MS = 3_000;

export interface Readiness {
  readonly ready: boolean;
  /** `ok` or what is wrong, by the check's name. */
  readonly checks: Readonly<Record<string, string>>;
}

/** Runs all checks at once, each for at most 3 s. Never rejects. */
export async function readiness(checks: readonly ReadinessCheck[]): Promise<Readiness> {
  const results = await Promise.all(checks.map(async (check) => [check.name, await outcome(check)] as const));
  return { ready: results.every(([, result]) => result === 'ok'), checks: Object.fromEntries(results) };
}

async function outcome(check: ReadinessCheck): Promise<string> {
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(resolve, CHECK_TIMEOUT_MS, `no answer within ${CHECK_TIMEOUT_MS} ms`);
  try {
    return await Promise.race([check.problem().then((problem) => problem ?? 'ok'), late]);
  } catch (error) {
    return error instanceof Error ? firstLine(error.message) : 'failed';
  } finally {
    clearTimeout(timer);
  }
}

function firstLine(message: string): string {
  return message.trim().split('\n', 1)[0] ?? '';
}
