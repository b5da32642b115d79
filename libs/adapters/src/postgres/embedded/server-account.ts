import { stat } from 'node:fs/promises';
import { runAs, type ServerAccount } from './run-as.js';
import { StartupError } from './startup-error.js';

/**
 * Accounts that a machine is likely to have, best first. Posthorn makes none: adding a user to somebody's machine is more
 * than `npm start` may do.
 */
const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/**
 * PostgreSQL refuses to run as root. For root this is the account to run it as: whoever owns the cluster, when there is
 * one, so that it stays usable when the machine gains a better candidate later. For anyone else `undefined`: the
 * server runs as ourselves.
 *
 * @throws StartupError
 */
export async function serverAccount(clusterDir: string): Promise<ServerAccount | undefined> {
  const ownUid = process.getuid?.();
  const owner = await stat(clusterDir).catch(() => undefined);
  if (ownUid !== 0) {
    if (owner !== undefined && owner.uid !== ownUid) {
      throw new StartupError(
        `${clusterDir} belongs to another user (uid ${String(owner.uid)}): start Posthorn as the user who started it first.`,
      );
    }
    return undefined;
  }
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const name of CANDIDATES) {
    const account = await lookUp(name);
    if (account !== undefined) {
      if (owner !== undefined) {
        throw new StartupError(
          `${clusterDir} belongs to root, as which PostgreSQL does not run: ` +
            `chown -R ${String(account.uid)}:${String(account.gid)} ${clusterDir}`,
        );
      }
      return account;
    }
  }
  throw new StartupError(
    `PostgreSQL does not run as root, and this machine has no user ${CANDIDATES.join(', ')}: ` +
      'start Posthorn as another user, or set DATABASE_URL.',
  );
}

async function lookUp(name: string): Promise<ServerAccount | undefined> {
  const uid = await idOf('-u', name);
  const gid = await idOf('-g', name);
  return uid === undefined || gid === undefined || uid === 0 ? undefined : { uid, gid };
}

async function idOf(flag: '-u' | '-g', name: string): Promise<number | undefined> {
  const { code, output } = await runAs('id', [flag, name], { cwd: '/' });
  const id = Number.parseInt(output, 10);
  return code === 0 && Number.isSafeInteger(id) ? id : undefined;
}
