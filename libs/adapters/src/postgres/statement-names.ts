/**
 * Names statements by their text, so that PostgreSQL parses and plans each once a connection and not once a call: for
 * the pipeline's own, which touch partitioned tables, planning costs as much as running them.
 *
 * Only the first texts get a name. Those of the pipeline are few and soon come; queries that are made of their
 * input, such as filters of lists, could be without end, and each name holds memory in every connection.
 */
export class StatementNames {
  private readonly names = new Map<string, string>();

  constructor(private readonly max = STATEMENT_NAMES_MAX) {}

  /** Empty, which is no name: to be planned for this one call. */
  readonly of = ({ sql }: { readonly sql: string }): string => {
    const known = this.names.get(sql);
    if (known !== undefined) return known;
    if (this.names.size >= this.max) return '';
    const name = `posthorn_${this.names.size}`;
    this.names.set(sql, name);
    return name;
  };
}

/** Several times what the pipeline and the API's own look-ups are; some megabytes a connection at most. */
const STATEMENT_NAMES_MAX = 200;
