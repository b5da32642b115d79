import { argv, stdout } from 'node:process';
import { createAddressPolicy } from '#adapters/http-sender/address-policy.js';
import { EgressPolicy } from '#adapters/http-sender/egress-policy.js';
import { parsePortRanges } from '#adapters/http-sender/port-ranges.js';
import { UndiciSender } from '#adapters/http-sender/undici-sender.js';
import { eventually } from '../eventually.js';

/**
 * A program: the real sender, alone in its process, against hostile receivers. In, as JSON: {@link HostileRunOptions};
 * out, as one line of JSON: {@link HostileRunReport}.
 */

export interface HostileRunOptions {
  /** Sent to in turn. */
  readonly targets: readonly { readonly name: string; readonly url: string; readonly bodyBytes: number }[];
  readonly requests: number;
  readonly concurrency: number;
  readonly timeoutMs: number;
}

export interface HostileRunReport {
  /** How often each target ended how: `response 200`, or the kind of failure. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Of the slowest request of each target, from its deadline; negative: before it. */
  readonly latenessMs: Readonly<Record<string, number>>;
  readonly tookMs: number;
  /** Resident memory after each tenth of the requests, and the most that it ever was. */
  readonly rssBytes: { readonly afterTenths: readonly number[]; readonly peak: number };
  /** What keeps the process alive once the sender is closed, but for the pipes that it was started with. */
  readonly leftOpen: readonly string[];
}

const RSS_SAMPLE_MS = 20;
const CLOSE_TIMEOUT_MS = 5_000;
/** The pipes to whoever started the program. */
const GIVEN = ['PipeWrap', 'TTYWrap'];

async function run(options: HostileRunOptions): Promise<HostileRunReport> {
  const { targets, requests, concurrency, timeoutMs } = options;
  const sender = new UndiciSender({
    egress: new EgressPolicy({
      addresses: createAddressPolicy({ allowCidrs: ['127.0.0.0/8'] }),
      ports: parsePortRanges('1-65535'),
      allowHttp: true,
    }),
  });
  const bodies = Buffer.alloc(Math.max(...targets.map(({ bodyBytes }) => bodyBytes)), '{');
  const outcomes: Record<string, Record<string, number>> = {};
  const latenessMs: Record<string, number> = {};
  let peak = 0;
  const sampler = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), RSS_SAMPLE_MS);
  const afterTenths: number[] = [];
  let begun = 0;
  let ended = 0;
  const sendInTurn = async (): Promise<void> => {
    while (begun < requests) {
      const target = targets[begun++ % targets.length];
      if (target === undefined) return;
      const { name, url, bodyBytes } = target;
      const deadlineMs = performance.now() + timeoutMs;
      const result = await sender.send({
        // Each its own, or what one leaves on a connection would be the next one's answer.
        merchantId: name,
        url,
        clientCertificate: null,
        headers: [['content-type', 'application/json']],
        body: bodies.subarray(0, bodyBytes),
        deadlineMs,
      });
      const lateMs = performance.now() - deadlineMs;
      latenessMs[name] = Math.max(latenessMs[name] ?? -timeoutMs, Math.round(lateMs));
      const outcome = result.kind === 'response' ? `response ${result.statusCode}` : result.kind;
      const counts = (outcomes[name] ??= {});
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      ended += 1;
      if (ended % (requests / 10) === 0) afterTenths.push(process.memoryUsage.rss());
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: concurrency }, sendInTurn));
  const tookMs = performance.now() - startedMs;
  clearInterval(sampler);
  await sender.close();
  return {
    outcomes,
    latenessMs,
    tookMs,
    rssBytes: { afterTenths, peak: Math.max(peak, ...afterTenths) },
    leftOpen: await leftOpen(),
  };
}

/** Sockets that were destroyed are gone a turn of the event loop later; what stays is a leak. */
async function leftOpen(): Promise<string[]> {
  const open = (): string[] => process.getActiveResourcesInfo().filter((name) => !GIVEN.includes(name));
  await eventually(() => {
    // The poll itself waits by a timer, which has fired by now.
    if (open().length > 0) throw new Error('not yet');
  }, CLOSE_TIMEOUT_MS).catch(() => undefined);
  return open();
}

const report = await run(JSON.parse(argv[2] ?? '') as HostileRunOptions);
stdout.write(`${JSON.stringify(report)}\n`);
