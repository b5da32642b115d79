// A merchant's server: prints each delivery that it gets as a line of JSON, and answers as the path says.
import { createServer } from 'node:http';

/** How long `/slow` takes: shorter than an endpoint's deadline, longer than it takes to ask a worker to stop. */
const SLOW_MS = 4_000;

const refusedOnce = new Set();

const server = createServer(async (request, response) => {
  if (request.method === 'GET') return response.end();
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const { url: path, headers } = request;
  console.log(JSON.stringify({ path, from: request.socket.remoteAddress, headers, body }));
  if (path === '/slow') setTimeout(() => response.end('late'), SLOW_MS);
  else response.writeHead(path === '/flaky' && isFirst(headers['x-posthorn-event-id']) ? 500 : 200).end('ok');
});

function isFirst(eventId) {
  if (refusedOnce.has(eventId)) return false;
  refusedOnce.add(eventId);
  return true;
}

server.listen(8080);
process.on('SIGTERM', () => process.exit(0));
