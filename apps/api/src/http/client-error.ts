import type { Socket } from 'node:net';
import { STATUS_CODES } from 'node:http';

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
  const body = JSON.stringify({
    status,
    code: 'invalid_request',
    message,
    data: null,
    request_id: requestId,
  });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function fault(code: string | undefined): { readonly status: number; readonly message: string } {
  if (code === 'HPE_HEADER_OVERFLOW') return { status: 431, message: 'The headers are larger than 16 KiB.' };
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return { status: 408, message: 'The request did not arrive in time.' };
  }
  return { status: 400, message: 'This is not HTTP/1.1.' };
}
