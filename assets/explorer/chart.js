import { groupedBars } from './bars.js';
import { axisFigureText, axisText } from './format.js';
import { barFill, colourName, dashOf, themeColour } from './palette.js';
import { breakAtSkips, stepOf } from './series.js';

const DAY = 86_400;
const WEEK = 7 * DAY;
const MONTH = 30 * DAY;
const POINTS_UP_TO = 62;
const MARK_HEIGHT = 4;
const DASHES = { uncertain: [6, 4], previous: [2, 4] };

/**
 * A chart of one metric, of lines or grouped bars: `lines` are `{name, column, at, style}`. It hatches the buckets at the places `partly`,
 * marks those at the places `changed` above, calls `moved` as the cursor moves, and `selected` with the first and last moment of a range
 * that the user drags. A single moment has the text `only` on the axis.
 */
export function drawChart(frame, { metric, lines, times, partly, changed, kind, label, only, moved, selected }) {
  const bars = kind === 'bar';
  const step = stepOf(times);
  const figures = lines.map(({ column }) => column);
  const data = bars ? { times, columns: figures } : breakAtSkips(times, figures);
  const paths = bars ? groupedBars(lines, step) : [];
  const margin = bars || times.length === 1 ? step / 2 : 0;

  const plot = new uPlot(
    {
      width: frame.clientWidth,
      height: heightFor(frame),
      tzDate: (moment) => uPlot.tzDate(new Date(moment * 1000), 'Etc/UTC'),
      legend: { show: false },
      cursor: { sync: { key: 'pitaya' }, drag: { x: times.length > 1, y: false, setScale: false }, points: { show: !bars } },
      scales: {
        x: { time: true, range: () => [times[0] - margin, times.at(-1) + margin] },
        y: { range: (_, _low, high) => uPlot.rangeNum(0, high || 1, 0.1, true) },
      },
      axes: [times.length === 1 ? momentAxis(times, only) : timeAxis(step, times), figureAxis(metric)],
      series: [{}, ...lines.map((line, at) => series(line, bars ? paths[at] : undefined, times.length))],
      hooks: {
        drawClear: [
          (drawn) => partly.forEach((place) => hatch(drawn, times[place] - step / 2, times[place] + step / 2)),
          (drawn) => changed.forEach((place) => mark(drawn, times[place] - step / 2, times[place] + step / 2)),
        ],
        setSelect: [(drawn) => select(drawn, selected)],
        setCursor: [(drawn) => moved(drawn.cursor.idx ?? null, drawn.data)],
      },
    },
    [data.times, ...data.columns],
    frame,
  );
  const canvas = plot.ctx.canvas;
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  return plot;
}

/** The height in pixels for a frame's width. */
export function heightFor(frame) {
  return frame.clientWidth < 520 ? 220 : 280;
}

function series({ name, at, style }, paths, points) {
  const colour = themeColour(colourName(at));
  const common = { label: name, stroke: colour, spanGaps: false };
  if (paths) {
    const fill = style === 'previous' ? undefined : barFill(at, style === 'uncertain');
    return { ...common, paths, fill, width: fill === colour ? 0 : 1, points: { show: false } };
  }
  return {
    ...common,
    width: style === 'previous' ? 1 : 2,
    dash: DASHES[style] ?? dashOf(at),
    points: style === 'previous' ? { show: false } : points > POINTS_UP_TO ? { show: true, size: 5, fill: colour, filter: lonely } : { show: true, size: 6, fill: colour },
  };
}

// A figure between two gaps has no line to either side, so only a point makes it visible.
function lonely(plot, which) {
  const figures = plot.data[which];
  return figures.flatMap((value, at) => (value !== null && figures[at - 1] == null && figures[at + 1] == null ? [at] : []));
}

function select(plot, selected) {
  const { left, width } = plot.select;
  if (width === 0) return;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  selected(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
}

function momentAxis(times, text) {
  return { ...axisColours(), size: 44, splits: () => times, values: () => [text] };
}

function timeAxis(step, times) {
  const wide = step >= DAY;
  return {
    ...axisColours(),
    ...(wide ? { incrs: [1, 2, 3, 4, 7, 14].map((days) => days * DAY).concat([1, 2, 3, 4, 6, 12].map((months) => months * MONTH)) } : {}),
    // Weeks begin on days that no regular step hits.
    ...(step === WEEK ? { splits: (plot) => atMost(times, Math.max(plot.width / 64, 1)) } : {}),
    space: 64,
    size: 44,
    values: (_plot, moments, _axis, _space, increment) => moments.map((moment, at) => axisText(moment, step === WEEK ? step : increment, at === 0)),
  };
}

function atMost(times, count) {
  const every = Math.ceil(times.length / count);
  return times.filter((_, at) => at % every === 0);
}

function figureAxis(metric) {
  return {
    ...axisColours(),
    // One width for all metrics, so that each moment is at the same position in all charts.
    size: 58,
    values: (_plot, values) => values.map((value) => axisFigureText(value, metric, values.at(-1))),
  };
}

function axisColours() {
  const line = themeColour('line');
  return { stroke: themeColour('muted'), font: '12px system-ui, sans-serif', grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 } };
}

function mark(plot, from, to) {
  const { ctx, bbox } = plot;
  const [start, right] = edges(plot, from, to);
  ctx.save();
  ctx.fillStyle = themeColour('notice-edge');
  // On whole pixels, so that neighbours leave no gap.
  ctx.fillRect(Math.round(start), bbox.top, Math.round(right) - Math.round(start), MARK_HEIGHT * devicePixelRatio);
  ctx.restore();
}

// A bucket's sides on the canvas, within the axes.
function edges(plot, from, to) {
  const { bbox } = plot;
  return [Math.max(plot.valToPos(from, 'x', true), bbox.left), Math.min(plot.valToPos(to, 'x', true), bbox.left + bbox.width)];
}

function hatch(plot, from, to) {
  const { ctx, bbox } = plot;
  const [start, right] = edges(plot, from, to);
  ctx.save();
  ctx.beginPath();
  ctx.rect(start, bbox.top, right - start, bbox.height);
  ctx.clip();
  ctx.fillStyle = themeColour('provisional');
  ctx.fillRect(start, bbox.top, right - start, bbox.height);
  ctx.strokeStyle = themeColour('provisional-stripe');
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (let x = start - bbox.height; x < right; x += 8 * devicePixelRatio) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}
