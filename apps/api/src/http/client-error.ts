import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { ErrorBody } from './error-answer.js';
import { ANSWER_HEADERS } from './security-headers.js';
import { HEADERS_BYTES_MAX, HEADERS_MAX } from './server-limits.js';

/**
 * Answers what Node's HTTP parser refuses before there is a request, in the one error shape. None of the contract's
 * codes fits exactly: `invalid_request` with the status that HTTP gives to the fault.
 */
export function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  newRequestId: () => string,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (socket.writable) socket.write(responseText(error, newRequestId()));
  socket.destroy(error);
}

function responseText(error: NodeJS.ErrnoException, requestId: string): string {
  const { status, message } = fault(error.code);
  const body = JSON.stringify(faultBody(status, message, requestId));
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    ...Object.entries(ANSWER_HEADERS).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function fault(code: string | undefined): { readonly status: number; readonly message: string } {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return { status: 431, message: `The headers are larger than ${HEADERS_BYTES_MAX / 1024} KiB.` };
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return { status: 408, message: 'The request did not arrive in time.' };
  }
  return { status: 400, message: 'This is not HTTP/1.1.' };
}

/**
 * Takes over the two refusals that Node's server would send without a body, and makes one of what it would pass over.
 * RFC 9112, 3.2, asks for 400 unless a request has exactly one Host; an expectation other than 100-continue may be passed
 * over (RFC 9110, 10.1.1); too many headers are 431 (RFC 6585, 5) and not read up to some number of them.
 * The server must have been made with `requireHostHeader: false`.
 */
export function replaceNodeRefusals(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    const { httpVersion, rawHeaders } = request.raw;
    const refuse = (status: number, message: string): void => {
      void reply.code(status).header('connection', 'close');
      void reply.send(faultBody(status, message, request.id));
    };
    if (rawHeaders.length > 2 * HEADERS_MAX) {
      refuse(431, `There are more than ${HEADERS_MAX} headers.`);
      return;
    }
    const hosts = rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === 'host');
    if (httpVersion === '1.0' || hosts.length === 1) done();
    else refuse(400, 'The request must have exactly one Host header.');
  });
  const { server } = fastify;
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
}

function faultBody(status: number, message: string, requestId: string): ErrorBody {
  return { status, code: 'invalid_request', message, data: null, request_id: requestId };
}
