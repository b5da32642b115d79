import { Prisma } from './generated/client.js';

/** Whether the bytes of `events e` are there to be sent again, as SQL: they may be erased or masked before the event itself goes. */
export const HAS_PAYLOAD = Prisma.sql`(e.data IS NOT NULL AND e.redacted_at IS NULL)`;
