// A merchant's server: prints each delivery that it gets as a line of JSON, and answers as the path says.
import { createServer } from 'node:http';

/** How long `/slow` takes: shorter than an endpoint's deadline, longer than it takes to ask a worker to stop. */
const SLOW_MS = 4_000;

const server = createServer(async (request, response) => {
  if (request.method === 'GET') return response.end();
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const { url: path, headers } = request;
  console.log(JSON.stringify({ path, from: request.socket.remoteAddress, headers, body }));
  const isFirst = headers['x-posthorn-attempt'] === '1';
  if (path === '/slow') setTimeout(() => response.end('late'), SLOW_MS);
  else if (path === '/flaky' && isFirst) response.writeHead(500).end('not now');
  else if (path !== '/silent' || !isFirst) response.end('ok');
});

server.listen(8080);
process.on('SIGTERM', () => process.exit(0));
