import { answerCalls } from '../child-program.js';
import { type PlainReceiver, startPlainReceiver } from '../plain-receiver.js';

let receiver: PlainReceiver | null = null;

/** A receiver that counts, and answers 200 at once or after a while. */
const calls = {
  async listen({ delayMs }: { readonly delayMs: number }): Promise<string> {
    receiver = await startPlainReceiver(delayMs);
    return receiver.url;
  },
  received: (_: null) => receiver?.received() ?? 0,
};
export type ReceiverCalls = typeof calls;
answerCalls(calls);
