// What is looked at: Compose as a whole, from a build to a restart, with a receiver in another container. What is
// deliberately not: everything that the tests of the API and the pipeline cover.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:net';
import { promisify } from 'node:util';

/** Never the project or the image of an installation on the same machine. */
const PROJECT = `posthorn-smoke-${process.pid}`;
const IMAGE = `posthorn:smoke-${process.pid}`;
const WORKERS = 3;
const EVENTS = 30;

/** Base images and dependencies may have to be downloaded. */
const UP_MAX_MS = 15 * 60_000;
const WAIT_MAX_MS = 30_000;
const POLL_MS = 100;
/** An endpoint's deadline, longer than what a worker waits for when it is stopped. */
const TIMEOUT_MS = 30_000;
/** What a process may take to stop, from SIGTERM on. */
const STOP_MAX_MS = 15_000;
/** Everything: a machine that hangs must not hang the caller. */
const TOTAL_MAX_MS = 25 * 60_000;

/** Without the `.env` of an installation. */
const FILES = ['--env-file', '/dev/null', '-f', 'docker-compose.yml', '-f', 'test/compose-smoke/compose.yml'];
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const environment = {
  ...withoutSettings(process.env),
  POSTHORN_IMAGE: IMAGE,
  POSTHORN_PUBLISH: `127.0.0.1:${port}`,
};

const watchdog = setTimeout(() => void end(new Error('took too long')), TOTAL_MAX_MS);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void end(new Error(signal)));
let ending;
await smoke().then(() => end(), end);

async function smoke() {
  await up('up with a build', ['--build']);
  await tellImage();
  const api = client(await platformKey());

  const merchant = await api('POST', '/v1/merchants', { name: 'Compose smoke' });
  await refuses(api, merchant.id, 'http://127.0.0.1:8080/');
  const endpoints = {};
  for (const path of ['/quick', '/flaky', '/slow', '/silent']) {
    const url = `http://receiver:8080${path}`;
    const events = [`smoke.${path.slice(1)}`];
    const webhook = { merchant_id: merchant.id, url, events, timeout_ms: TIMEOUT_MS };
    endpoints[path] = await api('POST', '/v1/webhooks', webhook);
  }
  const send = (type, data) => sendRaw(api, merchant.id, type, data);

  const quick = [];
  for (let n = 0; n < EVENTS; n++) quick.push(await send('smoke.quick', `{"n": ${n}, "amount": 1.10}`));
  const flaky = await send('smoke.flaky', '{"amount": 1e400}');
  await settled(api, endpoints['/quick'].id, quick.length, 1);
  await settled(api, endpoints['/flaky'].id, 1, 2);
  const received = await receipts();
  for (const event of quick) checkReceipt(received, event, endpoints['/quick'].secret, 1);
  checkReceipt(received, flaky, endpoints['/flaky'].secret, 2);
  const senders = new Set(received.map(({ from }) => from));
  tell(`received ${received.length} requests from ${senders.size} workers, byte for byte, signatures good`);
  tell(`  ${received[0].headers['x-posthorn-signature']}\n  ${received[0].body}`);
  await tellLog(api, merchant.id);

  const slow = await send('smoke.slow', '{"amount": "50.00"}');
  await inFlight(slow);
  await stop('with a delivery in flight that is answered');
  await up('up again');
  await settled(api, endpoints['/slow'].id, 1, 1);
  checkReceipt(await receipts(), slow, endpoints['/slow'].secret, 1);
  const log = await api('GET', `/v1/deliveries?merchant_id=${merchant.id}&limit=200`);
  assert.equal(log.data.length, EVENTS + 2, 'the log is there');
  tell(`the log of ${log.data.length} deliveries is there; the one in flight was sent once`);

  const silent = await send('smoke.silent', '{"amount": "0.10"}');
  await inFlight(silent);
  await stop('with one in flight that is never answered');
  await up('up a third time');
  await settled(api, endpoints['/silent'].id, 1, 2);
  checkReceipt(await receipts(), silent, endpoints['/silent'].secret, 2);
  await tellAttempts(api, endpoints['/silent'].id);

  const later = await send('smoke.quick', '{"after": "the restart"}');
  await settled(api, endpoints['/quick'].id, EVENTS + 1, 1);
  checkReceipt(await receipts(), later, endpoints['/quick'].secret, 1);
  tell('sent and received again, signed with the same secret');
}

async function up(what, options = []) {
  const startedAt = performance.now();
  const args = ['up', '--detach', '--wait', '--scale', `worker=${WORKERS}`, ...options];
  await compose(args, { timeoutMs: UP_MAX_MS, show: true });
  const ready = await fetch(`${base}/readyz`);
  assert.equal(ready.status, 200, await ready.text());
  const workers = await containers('worker');
  assert.equal(workers.length, WORKERS);
  for (const { State } of workers) assert.equal(State.Health.Status, 'healthy');
  tell(`${what}: API and ${workers.length} workers ready after ${seconds(performance.now() - startedAt)}`);
}

/** Stops everything as a person would, and looks at how each process of ours ended. */
async function stop(when) {
  const startedAt = Date.now();
  await compose(['stop'], { show: true });
  tell(`docker compose stop ${when} took ${seconds(Date.now() - startedAt)}`);
  for (const { Name, State } of [...(await containers('api')), ...(await containers('worker'))]) {
    const tookMs = Date.parse(State.FinishedAt) - startedAt;
    tell(`  ${Name.slice(1)} stopped after ${seconds(tookMs)} with exit code ${State.ExitCode}`);
    assert.equal(State.ExitCode, 0);
    assert.ok(tookMs > 0 && tookMs <= STOP_MAX_MS, `stopped in time: ${tookMs} ms`);
  }
}

async function tellImage() {
  const [image] = JSON.parse(await docker(['image', 'inspect', IMAGE]));
  const [api] = await containers('api');
  const pid1 = await docker(['exec', api.Id, 'cat', '/proc/1/cmdline']);
  const user = await docker(['exec', api.Id, 'id', '--user', '--name']);
  assert.equal(pid1.split('\0')[0], 'node', 'signals reach node');
  assert.notEqual(user.trim(), 'root');
  tell(
    `image ${(image.Size / 1e6).toFixed(0)} MB; PID 1 is "${pid1.split('\0').join(' ').trim()}", user ${user.trim()}`,
  );
}

/** As docs/runbooks/compose.md says. */
async function platformKey() {
  return (await compose(['exec', '-T', 'api', 'cat', '/var/lib/posthorn/keys/platform-key'])).trim();
}

async function refuses(api, merchantId, url) {
  const refused = await api('POST', '/v1/webhooks', { merchant_id: merchantId, url, events: ['*'] }, 422);
  assert.equal(refused.code, 'url_not_allowed');
  tell(`${url} refused: ${refused.code}`);
}

/** `data` is text, so that it can be compared byte for byte. */
async function sendRaw(api, merchantId, type, data) {
  const body = `{"merchant_id":"${merchantId}","type":"${type}","data":${data}}`;
  const event = await api('POST', '/v1/events', body, 202);
  assert.equal(event.deliveries, 1);
  return { id: event.id, data };
}

/** Until every delivery of an endpoint has succeeded. */
async function settled(api, webhookId, count, attempts) {
  await until(`${count} deliveries succeeded`, async () => {
    const { data } = await api('GET', `/v1/deliveries?webhook_id=${webhookId}&limit=200`);
    assert.ok(
      !data.some(({ status }) => status === 'failed' || status === 'cancelled'),
      JSON.stringify(data),
    );
    if (data.length !== count || data.some(({ status }) => status !== 'succeeded')) return false;
    for (const delivery of data) assert.equal(delivery.attempt_count, attempts, JSON.stringify(delivery));
    return true;
  });
}

function checkReceipt(received, event, secret, attempts) {
  const requests = received.filter(isOf(event));
  assert.equal(requests.length, attempts, `${event.id} came ${attempts} times`);
  for (const { headers, body } of requests) {
    assert.ok(body.endsWith(`"data":${event.data}}`), `data came byte for byte: ${body}`);
    const expected = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
    assert.equal(headers['x-posthorn-signature'], expected);
    assert.match(headers['webhook-signature'], /^v1,/);
  }
}

function isOf({ id }) {
  return ({ headers }) => headers['x-posthorn-event-id'] === id;
}

async function tellLog(api, merchantId) {
  const { data } = await api('GET', `/v1/deliveries?merchant_id=${merchantId}&limit=5`);
  tell('GET /v1/deliveries, the latest:');
  for (const { id, event_type, status, attempt_count, last_attempt } of data) {
    const { status_code, duration_ms } = last_attempt;
    tell(`  ${id}  ${event_type}  ${status}  attempts ${attempt_count}  ${status_code} in ${duration_ms} ms`);
  }
}

/** What a shutdown cut is told as it is, and charged no retry. */
async function tellAttempts(api, webhookId) {
  const [{ id }] = (await api('GET', `/v1/deliveries?webhook_id=${webhookId}`)).data;
  const { attempts } = await api('GET', `/v1/deliveries/${id}`);
  const outcomes = attempts.map(({ outcome }) => outcome).sort();
  assert.deepEqual(outcomes, ['succeeded', 'unknown']);
  tell(`the delivery that the stop cut was sent again: ${outcomes.toReversed().join(', then ')}`);
}

async function inFlight(event) {
  await until(`${event.id} is in flight`, async () => (await receipts()).some(isOf(event)));
}

/** Every delivery that the receiver has printed. */
async function receipts() {
  const [receiver] = await containers('receiver');
  const lines = (await docker(['logs', receiver.Id])).split('\n');
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

function client(key) {
  return async (method, path, body, expectedStatus = { GET: 200, POST: 201 }[method]) => {
    const response = await fetch(base + path, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) },
      body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(WAIT_MAX_MS),
    });
    const text = await response.text();
    assert.equal(response.status, expectedStatus, `${method} ${path}: ${text}`);
    return JSON.parse(text);
  };
}

async function containers(service) {
  const ids = (await compose(['ps', '--all', '--quiet', service])).split('\n').filter(Boolean);
  assert.ok(ids.length > 0, `there is a container of ${service}`);
  return JSON.parse(await docker(['inspect', ...ids]));
}

async function until(what, isSo) {
  const givesUpAt = performance.now() + WAIT_MAX_MS;
  while (!(await isSo())) {
    assert.ok(performance.now() < givesUpAt, `waited ${seconds(WAIT_MAX_MS)} in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function compose(args, options) {
  return docker(['compose', '-p', PROJECT, '--progress', 'plain', ...FILES, ...args], options);
}

/** @returns what it printed; with `show`, nothing, and it prints to this terminal */
async function docker(args, { timeoutMs = 120_000, show = false } = {}) {
  const settings = { env: environment, timeout: timeoutMs };
  if (!show) {
    return (await promisify(execFile)('docker', args, { ...settings, maxBuffer: 64 << 20 })).stdout;
  }
  const child = spawn('docker', args, { ...settings, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  assert.equal(code, 0, `docker ${args.join(' ')} ended with ${code}`);
  return '';
}

/** The caller's own configuration must not change what is tried. */
function withoutSettings(variables) {
  const isSetting = (name) => /^(POSTHORN_|COMPOSE_)|^(DATABASE_URL|REDIS_URL|LOG_LEVEL)$/.test(name);
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !isSetting(name)));
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: found } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return found;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

function tell(line) {
  console.log(`smoke: ${line}`);
}

/** Leaves nothing behind, whatever happened. Called again, it does nothing more. */
function end(error) {
  ending ??= finish(error);
  return ending;
}

async function finish(error) {
  clearTimeout(watchdog);
  if (error) {
    console.error(error);
    await compose(['ps', '--all'], { show: true }).catch(() => undefined);
    await compose(['logs', '--no-color', '--tail', '40'], { show: true }).catch(() => undefined);
  }
  try {
    await compose(['down', '--volumes', '--remove-orphans'], { show: true });
    await docker(['image', 'rm', '--force', IMAGE]);
  } catch (problem) {
    console.error(problem);
    error ??= problem;
  }
  tell(error ? 'FAILED' : 'passed');
  process.exit(error ? 1 : 0);
}
