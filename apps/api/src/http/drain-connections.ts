import type { FastifyInstance } from 'fastify';

/** How soon a connection is noticed that has become idle after the server began to close. */
const IDLE_CHECK_MS = 100;

/**
 * Lets a closing server end as soon as its last request has been answered. Node closes the connections that are idle
 * when closing begins, and then waits for the others to be closed by their clients, which keep them for a next request.
 */
export function drainConnections(fastify: FastifyInstance): void {
  let idleCheck: NodeJS.Timeout | null = null;
  fastify.addHook('preClose', (done) => {
    idleCheck = setInterval(() => fastify.server.closeIdleConnections(), IDLE_CHECK_MS);
    done();
  });
  fastify.addHook('onClose', (_instance, done) => {
    if (idleCheck !== null) clearInterval(idleCheck);
    done();
  });
  // The client is told, so that it does not send a next request into a connection that is about to go.
  fastify.addHook('onSend', (_request, reply, _payload, done) => {
    if (idleCheck !== null) void reply.header('connection', 'close');
    done();
  });
}
