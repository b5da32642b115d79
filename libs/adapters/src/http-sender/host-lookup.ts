import { lookup, type LookupAddress } from 'node:dns';

/**
 * Every address of a host name, in the resolver's order. Rejects with an error that carries the resolver's `code`
 * (`ENOTFOUND`, `EAI_AGAIN`, ...). Never asked about literals.
 */
export type HostLookup = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * The system's resolver, so that hosts files, search domains and container DNS mean what they mean to every other
 * program on the machine.
 *
 * Concurrent look-ups of one name share one call: `getaddrinfo` holds a thread of a small pool for as long as it
 * waits, and a name whose servers are silent would otherwise take all of them, and with them everybody's look-ups.
 */
export function createSystemLookup(): HostLookup {
  const underWay = new Map<string, Promise<readonly LookupAddress[]>>();
  return (hostname) => {
    const shared = underWay.get(hostname);
    if (shared !== undefined) return shared;
    const started = new Promise<readonly LookupAddress[]>((resolve, reject) => {
      lookup(hostname, { all: true, order: 'verbatim' }, (error, addresses) => {
        underWay.delete(hostname);
        if (error === null) resolve(addresses);
        else reject(error);
      });
    });
    underWay.set(hostname, started);
    return started;
  };
}
