import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';

/** The platform's backend: posts over connections that it keeps. */
export class Producer {
  readonly #agent: Agent;

  /** @param connectionsMax one, for calls that follow each other; more, for calls that do not wait for each other */
  constructor(
    private readonly url: string,
    private readonly platformKey: string,
    connectionsMax = 1,
  ) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  }

  /** @returns the body of the answer, which is a thing that was made, when its head came, and when the request began to be written */
  async post(
    path: string,
    body: unknown,
  ): Promise<{
    readonly answer: { readonly id: string };
    readonly sentMs: number;
    readonly answeredMs: number;
  }> {
    const bytes = Buffer.from(JSON.stringify(body));
    const call = request(new URL(path, this.url), {
      method: 'POST',
      agent: this.#agent,
      headers: {
        authorization: `Bearer ${this.platformKey}`,
        'content-type': 'application/json',
        'content-length': bytes.byteLength,
      },
    });
    const answered = once(call, 'response');
    const sentMs = performance.now();
    call.end(bytes);
    const [response] = (await answered) as [IncomingMessage];
    const answeredMs = performance.now();
    const answer = await text(response);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw new Error(`POST ${path} was answered ${status} ${answer}`);
    return { answer: JSON.parse(answer) as { id: string }, sentMs, answeredMs };
  }

  close(): void {
    this.#agent.destroy();
  }
}
