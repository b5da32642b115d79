import pg from 'pg';

/**
 * A pool whose errors all have a `code`. The driver tells its own by message alone: a connection that was not made in
 * time, that broke under a statement, or that did not answer. `ETIMEDOUT` is the first, `ECONNABORTED` the others; whether
 * a statement that was aborted so has committed, nobody knows.
 */
export class ConnectionPool extends pg.Pool {
  constructor(config: ConnectionPoolConfig) {
    super({ ...config, Client: CodedClient });
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<pg.PoolClient> | undefined {
    if (callback === undefined) return withConnectCode(super.connect());
    super.connect((error, client, done) => {
      addCode(error, 'ETIMEDOUT');
      callback(error, client, done);
    });
    return undefined;
  }
}

export interface ConnectionPoolConfig extends Omit<pg.PoolConfig, 'onConnect'> {
  /** Prepares a new connection; no statement runs on it before that is done. */
  readonly onConnect?: (client: pg.ClientBase) => Promise<void>;
}

type ConnectCallback = Parameters<pg.Pool['connect']>[0];

/** As {@link ConnectionPool}: every error of a statement has a `code`. */
export class CodedClient extends pg.Client {
  /** With or without a callback at the end, as all its overloads. */
  override query(...args: unknown[]): never {
    const callback = args.at(-1);
    if (typeof callback === 'function') {
      args[args.length - 1] = (error: unknown, result: unknown): void => {
        addCode(error, 'ECONNABORTED');
        Reflect.apply(callback, undefined, [error, result]);
      };
    }
    const send = super.query.bind(this) as (...args: unknown[]) => unknown;
    const answer = send(...args);
    return (answer instanceof Promise ? answer.catch(rethrowWith('ECONNABORTED')) : answer) as never;
  }
}

/** For a connection that is being made: what was not made in time says so. */
export function withConnectCode<Made>(connecting: Promise<Made>): Promise<Made> {
  return connecting.catch(rethrowWith('ETIMEDOUT'));
}

function rethrowWith(code: string): (error: unknown) => never {
  return (error) => {
    addCode(error, code);
    throw error;
  };
}

/** Errors of PostgreSQL and of the network have one already; a `TypeError` is a mistake of ours and gets none. */
function addCode(error: unknown, code: string): void {
  if (error instanceof Error && error.name === 'Error' && !('code' in error)) Object.assign(error, { code });
}
