import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What a program answers to: each call by its name. */
export type Calls = Readonly<Record<string, (argument: never) => unknown>>;

interface Call {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}
type Reply =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

/**
 * A part of a benchmark that is to have a process, and so a core's time, of its own.
 *
 * @param name of a file below `bench/rig/programs`
 */
export class ChildProgram<C extends Calls> {
  readonly #child: ChildProcess;
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #calls = 0;

  constructor(name: string) {
    this.#child = fork(join(import.meta.dirname, 'programs', `${name}.js`), {
      execArgv: ['--enable-source-maps'],
      // Ctrl-C is for the benchmark, which stops its processes in order.
      detached: true,
    });
    this.#child.on('message', (reply: Reply) => {
      const call = this.#open.get(reply.id);
      this.#open.delete(reply.id);
      if ('error' in reply) call?.reject(new Error(`${name}: ${reply.error}`));
      else call?.resolve(reply.result);
    });
    this.#child.on('exit', () => {
      for (const call of this.#open.values()) call.reject(new Error(`${name} has ended`));
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** @throws Error that the program threw, or when it has ended */
  async call<Name extends keyof C & string>(
    name: Name,
    argument: Parameters<C[Name]>[0],
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    const call = Promise.withResolvers<unknown>();
    const id = this.#calls++;
    this.#open.set(id, call);
    this.#child.send({ id, name, argument } satisfies Call);
    return (await call.promise) as Awaited<ReturnType<C[Name]>>;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

/** The program's end of it. */
export function answerCalls(calls: Calls): void {
  process.on('message', (message) => {
    const { id, name, argument } = message as Call;
    const reply = (answer: Reply) => process.send?.(answer);
    // A call that throws at once is answered like one that fails later.
    void new Promise((resolve) => resolve(calls[name]?.(argument as never))).then(
      (result) => reply({ id, result }),
      (error: unknown) => reply({ id, error: String(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
}
