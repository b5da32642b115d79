import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { OutgoingRequest, SendResult } from '#pipeline/sender.js';
import { createAddressPolicy } from './address-policy.js';
import { EgressPolicy } from './egress-policy.js';
import type { EgressProxy } from './egress-proxy.js';
import type { HostLookup } from './host-lookup.js';
import { parsePortRanges } from './port-ranges.js';
import { UndiciSender } from './undici-sender.js';

export interface HarnessOptions {
  /** `127.0.0.0/8` if left out, where the test receivers are. */
  readonly allowCidrs?: readonly string[];
  readonly lookup?: HostLookup;
  readonly extraCaCertificates?: readonly string[];
  readonly proxy?: EgressProxy;
  /** Where a recorded connect really goes; where it was meant to, if left out. */
  readonly redirectConnect?: (options: TcpNetConnectOpts) => TcpNetConnectOpts;
}

/** For tests: a sender that records its connects and what they became. */
export class SenderHarness {
  readonly sender: UndiciSender;
  readonly sockets: Socket[] = [];

  constructor(options: HarnessOptions = {}) {
    this.sender = new UndiciSender({
      egress: new EgressPolicy({
        addresses: createAddressPolicy({ allowCidrs: options.allowCidrs ?? ['127.0.0.0/8'] }),
        ports: parsePortRanges('1-65535'),
        allowHttp: true,
        ...(options.lookup !== undefined && { lookup: options.lookup }),
      }),
      extraCaCertificates: options.extraCaCertificates ?? [],
      proxy: options.proxy ?? null,
      tcpConnect: (connectOptions) => {
        const socket = connect(options.redirectConnect?.(connectOptions) ?? connectOptions);
        this.sockets.push(socket);
        return socket;
      },
    });
  }

  /** `timeoutMs` from now is the deadline; 5,000 if left out. */
  send(
    url: string,
    { timeoutMs = 5_000, ...rest }: Partial<OutgoingRequest> & { timeoutMs?: number } = {},
  ): Promise<SendResult> {
    return this.sender.send({
      merchantId: 'merchant',
      url,
      clientCertificate: null,
      headers: [['content-type', 'application/json']],
      body: Buffer.from('{"id":"evt_1"}'),
      deadlineMs: performance.now() + timeoutMs,
      ...rest,
    });
  }
}

/** For tests: a result in one line, `response 204` or `timeout deadline_exceeded`. */
export function inShort(result: SendResult): string {
  return result.kind === 'response'
    ? `response ${String(result.statusCode)}`
    : `${result.kind} ${result.errorCode}`;
}
