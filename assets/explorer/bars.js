const FILLED = 0.8;
const SCALE_VALUE = 1;

/**
 * Path builders for bars side by side in buckets `step` seconds wide: one for each of `lines`. The certain and the uncertain bars of a
 * group share one place; if there is an earlier period, its bar stands before theirs.
 */
export function groupedBars(lines, step) {
  const groups = new Set(lines.map(({ at }) => at)).size;
  const places = lines.some(({ style }) => style === 'previous') ? 2 : 1;
  const width = (step * FILLED) / (groups * places);
  const first = -(step * FILLED) / 2;
  return lines.map(({ at, style }) => {
    const place = places * at + (style === 'previous' ? 0 : places - 1);
    return uPlot.paths.bars({
      size: [FILLED, 64, 1],
      disp: {
        x0: { unit: SCALE_VALUE, values: (plot) => plot.data[0].map((time) => time + first + place * width) },
        size: { unit: SCALE_VALUE, values: () => [width] },
      },
    });
  });
}
