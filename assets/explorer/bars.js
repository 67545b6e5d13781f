const FILLED = 0.8;
const SCALE_VALUE = 1;

/** Path builders for bars side by side: one for each of `count` series, in buckets `step` seconds wide. */
export function groupedBars(count, step) {
  const width = (step * FILLED) / count;
  const first = -(step * FILLED) / 2;
  return Array.from({ length: count }, (_, which) =>
    uPlot.paths.bars({
      size: [FILLED, 64, 1],
      disp: {
        x0: { unit: SCALE_VALUE, values: (plot) => plot.data[0].map((time) => time + first + which * width) },
        size: { unit: SCALE_VALUE, values: () => [width] },
      },
    }),
  );
}
