import { drawChart, heightFor } from './chart.js';
import { byId, make } from './dom.js';
import { bucketText, figureText } from './format.js';
import { metricLabel } from './metrics.js';
import { colourName } from './palette.js';
import { isProvisional, seconds, toSeries } from './series.js';

const READ_OUT = 12;

/** The charts of an answer, one below the other for each metric, and their common legend. */
export class Charts {
  #plots = [];
  #answer = null;
  #kind = 'line';
  #zoomed;

  /** Calls `zoomed` with the first and last moment, in seconds on the axis, of a range that the user drags. */
  constructor(zoomed) {
    this.#zoomed = zoomed;
    new ResizeObserver(() => this.#resize()).observe(byId('charts'));
  }

  /** Draws the charts of `answer`. */
  show(answer) {
    this.#answer = answer;
    this.redraw();
  }

  /** Lines or bars. */
  set kind(kind) {
    this.#kind = kind;
    this.redraw();
  }

  /** Redraws the charts after a change of the colours or the kind. */
  redraw() {
    this.#plots.forEach((plot) => plot.destroy());
    this.#plots = [];
    byId('charts').replaceChildren();
    byId('legend').replaceChildren();
    if (this.#answer === null || this.#answer.data.length === 0) return;

    const series = toSeries(this.#answer);
    const items = series.groups.map((group, at) => this.#legendItem(group, at));
    byId('legend').replaceChildren(...items.map((item) => item.element));
    const provisionalFrom = this.#showProvisional();
    // A single moment does not make a line.
    byId('chart-kind').hidden = series.times.length === 1;
    for (const [metric, figures] of series.figures) this.#draw(metric, figures, series, provisionalFrom);
  }

  #draw(metric, figures, { times, groups }, provisionalFrom) {
    const frame = make('div', { className: 'chart' });
    const readout = make('p', { className: 'readout' });
    const caption = make('figcaption', {}, make('strong', { textContent: metricLabel(metric) }), readout);
    byId('charts').append(make('figure', {}, caption, frame));
    const { from, to } = this.#answer.meta;
    this.#plots.push(
      drawChart(frame, {
        metric, figures, times, groups, provisionalFrom,
        kind: times.length === 1 ? 'bar' : this.#kind,
        label: `${metricLabel(metric)} from ${from} to ${to}, ${groups.length} series. The table below has the figures.`,
        moved: (at, data) => this.#read(readout, at, data, groups, metric),
        selected: (first, last) => this.#zoomed(first, last),
      }),
    );
  }

  #read(readout, at, data, groups, metric) {
    if (at === null) {
      readout.replaceChildren();
      return;
    }
    const time = new Date(data[0][at] * 1000).toISOString().slice(0, 19);
    const plot = this.#plots[0];
    const shown = groups.flatMap((group, which) =>
      plot?.series[which + 1].show === false ? [] : [make('span', { className: `key ${colourName(which)}`, textContent: `${group.name} ${figureText(data[which + 1][at], metric)}` })],
    );
    const others = shown.length > READ_OUT ? [`and ${shown.length - READ_OUT} others`] : [];
    readout.replaceChildren(make('time', { textContent: bucketText(time, this.#answer.meta.bucket) }), ...shown.slice(0, READ_OUT), ...others);
  }

  #legendItem(group, at) {
    const button = make('button', { type: 'button', className: `key ${colourName(at)}`, textContent: group.name, 'aria-pressed': 'true' });
    button.addEventListener('click', () => {
      const show = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(show));
      for (const plot of this.#plots) plot.setSeries(at + 1, { show });
    });
    return { element: make('li', {}, button) };
  }

  #showProvisional() {
    const { meta, data } = this.#answer;
    const first = data.map((row) => row.time).filter((time) => isProvisional(time, meta)).sort()[0];
    byId('provisional').hidden = first === undefined;
    if (first === undefined) return null;
    byId('provisional').textContent = `Shaded: from ${meta.provisional_from} on, figures are provisional and may still change.`;
    return seconds(first);
  }

  #resize() {
    for (const plot of this.#plots) {
      const frame = plot.root.parentElement;
      if (plot.width !== frame.clientWidth) plot.setSize({ width: frame.clientWidth, height: heightFor(frame) });
    }
  }
}
