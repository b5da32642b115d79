import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** A TCP port of 127.0.0.1 that is free now; another process may still take it before it is used. */
export async function freeLoopbackPort(): Promise<number> {
  return bindAndClose(0);
}

/** Whether something listens on a TCP port of 127.0.0.1, or it cannot be bound for another reason. */
export async function isLoopbackPortTaken(port: number): Promise<boolean> {
  return bindAndClose(port).then(
    () => false,
    () => true,
  );
}

async function bindAndClose(port: number): Promise<number> {
  const probe = createServer().listen(port, '127.0.0.1');
  await once(probe, 'listening');
  const { port: bound } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return bound;
}
