import { stripVTControlCharacters } from 'node:util';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: 'left' | 'right';
}

const GAP = '  ';

/**
 * Lines of a table with aligned columns. Cells may carry colours; each of their characters must take one column of the
 * terminal.
 *
 * @param style applied to the titles, after they were aligned
 */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  style: (title: string) => string = (title) => title,
): string[] {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => widthOf(row[index] ?? ''))),
  );
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => pad(text, widths[index] ?? 0, columns[index]?.align ?? 'left'))
      .join(GAP)
      .trimEnd();
  return [style(line(columns.map(({ title }) => title))), ...cells.map(line)];
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const blanks = ' '.repeat(width - widthOf(text));
  return align === 'left' ? `${text}${blanks}` : `${blanks}${text}`;
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}
