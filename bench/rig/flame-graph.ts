import type { Frame } from './cpu-profile.js';

const WIDTH = 1_400;
const ROW_HEIGHT = 15;
/** Narrower ones cannot be read, and are most of them. */
const FRAME_WIDTH_MIN = 2.5;
const CHARACTER_WIDTH = 6.2;

/** Hues by whose code it is. */
const HUE: Readonly<Record<string, number>> = { posthorn: 140, 'node:': 205, '(garbage collector)': 0 };
const HUE_OF_PACKAGES = 40;

/** A flame graph as SVG: who calls is below, width is time. Hovering a frame tells its share. */
export function flameGraph(root: Frame, title: string): string {
  const rects: string[] = [];
  let depthMax = 0;
  const draw = (frame: Frame, x: number, depth: number): void => {
    const width = (frame.totalUs / root.totalUs) * WIDTH;
    if (width < FRAME_WIDTH_MIN) return;
    depthMax = Math.max(depthMax, depth);
    rects.push(rectangle(frame, root, x, depth, width));
    let at = x;
    for (const child of [...frame.children.values()].sort((a, b) => b.totalUs - a.totalUs)) {
      draw(child, at, depth + 1);
      at += (child.totalUs / root.totalUs) * WIDTH;
    }
  };
  draw(root, 0, 0);
  const height = (depthMax + 3) * ROW_HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 ${-height + 2 * ROW_HEIGHT} ${WIDTH} ${height}" font-family="monospace" font-size="10">`,
    `<text x="4" y="${-height + 3 * ROW_HEIGHT}" font-size="12">${escaped(title)}</text>`,
    ...rects,
    '</svg>\n',
  ].join('\n');
}

function rectangle(frame: Frame, root: Frame, x: number, depth: number, width: number): string {
  const y = -depth * ROW_HEIGHT;
  const share = ((frame.totalUs / root.totalUs) * 100).toFixed(1);
  const characters = Math.floor(width / CHARACTER_WIDTH) - 1;
  const label =
    characters < 3
      ? ''
      : `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${escaped(frame.name.slice(0, characters))}</text>`;
  const fill = `hsl(${HUE[frame.owner] ?? HUE_OF_PACKAGES},60%,${depth % 2 === 0 ? 72 : 78}%)`;
  const rect = `<rect x="${x.toFixed(1)}" y="${y}" width="${(width - 0.3).toFixed(1)}" height="${ROW_HEIGHT - 1}" fill="${fill}"/>`;
  return `<g><title>${escaped(frame.name)} (${share}%)</title>${rect}${label}</g>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
