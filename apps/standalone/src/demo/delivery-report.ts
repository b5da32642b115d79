import type { Delivery } from './posthorn-api.js';
import type { Receipt } from './receiver.js';
import type { SampleEndpoint, SampleMerchant } from './sample-merchants.js';
import { type Column, formatTable } from './table.js';
import type { Terminal } from './terminal.js';

/** A delivery of the log beside what its receiver saw of it. */
export interface ReportRow {
  readonly merchant: SampleMerchant;
  readonly endpoint: SampleEndpoint;
  readonly delivery: Delivery;
  /** The requests of this delivery, in the order of their arrival. */
  readonly receipts: readonly Receipt[];
}

/** What is not as it should be with a delivery, a line for each; none: all is well. */
export function problemsOf({ merchant, endpoint, delivery, receipts }: ReportRow): string[] {
  const attemptsExpected = 1 + (endpoint.refusals ?? 0);
  const data = merchant.events.find(({ type }) => type === delivery.event_type)?.data ?? '';
  const problems: string[] = [];
  if (delivery.status !== 'succeeded') problems.push(`is ${delivery.status} and should have succeeded`);
  if (delivery.attempt_count !== attemptsExpected)
    problems.push(`took ${delivery.attempt_count} attempts and should have taken ${attemptsExpected}`);
  if (receipts.length !== delivery.attempt_count)
    problems.push(`has ${delivery.attempt_count} attempts in the log, and ${receipts.length} arrived`);
  if (receipts.some(({ signature }) => signature === 'wrong'))
    problems.push('has a signature that does not fit');
  // Every payload format has at least the members of the data in it, byte for byte.
  if (receipts.some(({ body }) => !body.includes(data.slice(1, -1))))
    problems.push('did not arrive with the bytes of data that were sent');
  return problems;
}

/** The delivery log as lines of a table. */
export function reportTable(rows: readonly ReportRow[], terminal: Terminal): string[] {
  const columns: readonly Column<ReportRow>[] = [
    { title: 'MERCHANT', cell: ({ merchant }) => merchant.name },
    { title: 'EVENT TYPE', cell: ({ delivery }) => delivery.event_type },
    { title: 'ENDPOINT', cell: ({ endpoint }) => endpoint.path },
    {
      title: 'STATUS',
      cell: ({ delivery: { status } }) => terminal.styled(status === 'succeeded' ? 'green' : 'red', status),
    },
    {
      title: 'ATTEMPTS',
      align: 'right',
      cell: ({ delivery: { attempt_count: count } }) =>
        count > 1 ? terminal.styled('yellow', String(count)) : String(count),
    },
    {
      title: 'CODE',
      align: 'right',
      cell: ({ delivery: { last_attempt: last } }) => String(last?.status_code ?? last?.outcome ?? '-'),
    },
    {
      title: 'DURATION',
      align: 'right',
      cell: ({ delivery: { last_attempt: last } }) => (last === null ? '-' : `${last.duration_ms} ms`),
    },
    { title: 'SIGNATURE', cell: ({ receipts }) => signatureCell(receipts, terminal) },
  ];
  return formatTable(columns, rows, (titles) => terminal.styled('dim', titles));
}

function signatureCell(receipts: readonly Receipt[], terminal: Terminal): string {
  if (receipts.length === 0) return terminal.styled('red', 'none seen');
  if (receipts.some(({ signature }) => signature === 'wrong')) return terminal.styled('red', '✘ wrong');
  if (receipts.every(({ signature }) => signature === 'unsigned')) return terminal.styled('dim', 'unsigned');
  return terminal.styled('green', '✔ verified');
}

/** One line for all of it. */
export function summaryOf(rows: readonly ReportRow[], seconds: number): string {
  const requests = rows.reduce((sum, { receipts }) => sum + receipts.length, 0);
  const signed = rows.filter(({ receipts }) => receipts.some(({ signature }) => signature !== 'unsigned'));
  return (
    `${rows.length} deliveries in ${requests} requests and ${seconds.toFixed(1)} s, all as expected; ` +
    `every signature of the ${signed.length} signed ones verified`
  );
}
