import { createHmac } from 'node:crypto';
import { Pool } from 'undici';
import { answerCalls } from '../child-program.js';
import { startPlainReceiver } from '../plain-receiver.js';
import { USUAL_DATA, USUAL_TYPE } from '../usual-event.js';

/** As many as a worker would keep to one receiver. */
const CONNECTIONS = 64;
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/**
 * What remains when everything that a platform promises is left out: sign a body and post it, as often as one process
 * can. Nothing is stored, nothing is queued, nothing is checked.
 */
const calls = {
  /** Posts a second. */
  run: ({ url, seconds }: { readonly url: string; readonly seconds: number }): Promise<number> =>
    postAll(url, seconds),

  /** The same to a receiver in this very process, and so on one core: what a bare loop is often said to do. */
  async runWithReceiver({ seconds }: { readonly seconds: number }): Promise<number> {
    const receiver = await startPlainReceiver(0);
    try {
      return await postAll(receiver.url, seconds);
    } finally {
      receiver.close();
    }
  },
};
export type CeilingCalls = typeof calls;
answerCalls(calls);

async function postAll(url: string, seconds: number): Promise<number> {
  const { origin, pathname: path } = new URL(url);
  const pool = new Pool(origin, { connections: CONNECTIONS, pipelining: 1, allowH2: false });
  const startedMs = performance.now();
  const endsAtMs = startedMs + seconds * 1_000;
  let posted = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < endsAtMs) {
      const body = JSON.stringify({ id: `evt_${posted}`, type: USUAL_TYPE, data: USUAL_DATA });
      const signature = createHmac('sha256', SECRET).update(body).digest('hex');
      const answer = await pool.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json', 'x-signature': `sha256=${signature}` },
        body,
      });
      await answer.body.dump();
      posted += 1;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, loop));
  const rate = posted / ((performance.now() - startedMs) / 1_000);
  await pool.destroy();
  return rate;
}
