import { Prisma } from './generated/client.js';

/**
 * Hint numbers of a final delivery's new open row start at the seconds since this moment, far above what its earlier
 * row can have reached, so that no hint's id is ever used twice. The column is good for 68 years of them.
 */
const HINT_EPOCH_SECONDS = 1_700_000_000;

/** The first hint number of a delivery that is opened again now, as SQL. */
export const REOPENED_HINT_NUMBER = Prisma.sql`extract(epoch FROM now())::bigint - ${HINT_EPOCH_SECONDS}`;
