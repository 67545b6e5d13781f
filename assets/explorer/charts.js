import { drawChart, heightFor } from './chart.js';
import { byId, make } from './dom.js';
import { bucketText, comparedText, datesText, figureText } from './format.js';
import { metricLabel } from './metrics.js';
import { keyClass } from './palette.js';
import { heatMap, isProfile } from './heat-map.js';
import { rowsByGroup, splitUncertain, toSeries } from './series.js';

const READ_OUT = 12;
const HEAT_MAPS = 24;

/** The charts of an answer, one below the other for each metric, and their common legend. */
export class Charts {
  #plots = [];
  #answer = null;
  #revised = new Map();
  #kind = 'line';
  #zoomed;

  /** Calls `zoomed` with the first and last moment, in seconds on the axis, of a range that the user drags. */
  constructor(zoomed) {
    this.#zoomed = zoomed;
    new ResizeObserver(() => this.#resize()).observe(byId('charts'));
  }

  /** Draws the charts of `answer`, with marks at the rows `revised`. */
  show(answer, revised = new Map()) {
    this.#answer = answer;
    this.#revised = revised;
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

    const profile = isProfile(this.#answer.meta.bucket);
    byId('drag-hint').hidden = profile;
    byId('chart-kind').hidden = profile;
    if (profile) {
      this.#drawHeatMaps();
      return;
    }
    const series = toSeries(this.#answer, this.#revised);
    if (isEmpty(series)) {
      this.#drawNothing();
      return;
    }
    const items = series.groups.map((group, at) => this.#legendItem(group, at, series.groups.length));
    byId('legend').replaceChildren(...items.map((item) => item.element));
    // A single moment does not make a line.
    const isOne = series.times.length === 1;
    byId('chart-kind').hidden = isOne;
    byId('drag-hint').hidden = isOne;
    const kind = isOne ? 'bar' : this.#kind;
    this.#explain(series, kind);
    for (const metric of series.figures.keys()) this.#draw(metric, series, kind);
  }

  #drawNothing() {
    byId('charts').append(make('p', { className: 'hint', textContent: whyEmpty(this.#answer.data) }));
    byId('drag-hint').hidden = true;
    byId('chart-kind').hidden = true;
    this.#hideExplanations();
  }

  #hideExplanations() {
    for (const id of ['provisional', 'partial-coverage', 'coverage-help', 'revised']) byId(id).hidden = true;
  }

  #drawHeatMaps() {
    const { meta } = this.#answer;
    const groups = rowsByGroup(this.#answer);
    const maps = meta.metrics.flatMap(({ name }) =>
      groups.map(({ group, rows }) => make('figure', {}, make('figcaption', {}, make('strong', { textContent: `${metricLabel(name)}, ${group.name}` })), heatMap(name, rows))),
    );
    const others = maps.length > HEAT_MAPS ? [make('p', { className: 'hint', textContent: `The table below has ${maps.length - HEAT_MAPS} others.` })] : [];
    byId('charts').append(...maps.slice(0, HEAT_MAPS), ...others);
    this.#hideExplanations();
  }

  #draw(metric, series, kind) {
    const { times, groups, partly, changed } = series;
    const frame = make('div', { className: 'chart' });
    const readout = make('p', { className: 'readout' });
    const caption = make('figcaption', {}, make('strong', { textContent: metricLabel(metric) }), readout);
    byId('charts').append(make('figure', {}, caption, frame));
    const { meta } = this.#answer;
    this.#plots.push(
      drawChart(frame, {
        metric, times, partly, changed, kind,
        lines: linesOf(metric, series, kind),
        label: `${metricLabel(metric)}, ${datesText(meta.from, meta.to)}, ${groups.length} series. The table below has the figures.`,
        only: bucketText(localTime(times[0]), meta),
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
    const time = localTime(data[0][at]);
    const plot = this.#plots[0];
    const shown = groups.flatMap((group, which) => {
      if (plot?.series[which + 1].show === false) return [];
      const [certain, rest, previous] = [0, 1, 2].map((part) => data[1 + part * groups.length + which]?.[at] ?? null);
      const before = previous === null ? '' : ` (before ${figureText(previous, metric)})`;
      return [make('span', { className: keyClass(which), textContent: `${group.name} ${figureText(certain ?? rest, metric)}${before}` })];
    });
    const others = shown.length > READ_OUT ? [`and ${shown.length - READ_OUT} others`] : [];
    readout.replaceChildren(make('time', { textContent: bucketText(time, this.#answer.meta) }), ...shown.slice(0, READ_OUT), ...others);
  }

  #legendItem(group, at, groups) {
    const button = make('button', { type: 'button', className: keyClass(at), textContent: group.name, 'aria-pressed': 'true' });
    button.addEventListener('click', () => {
      const show = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(show));
      for (const plot of this.#plots) {
        for (let line = at + 1; line < plot.series.length; line += groups) plot.setSeries(line, { show });
      }
    });
    return { element: make('li', {}, button) };
  }

  #explain({ uncertain, partly, changed, previous }, kind) {
    const { meta } = this.#answer;
    const words = kind === 'bar' ? { uncertain: 'Faint', previous: 'Outlined' } : { uncertain: 'Dashed', previous: 'Dotted' };
    const sentences = [
      uncertain.size > 0 ? `${words.uncertain}: from ${meta.provisional_from} on, figures are provisional and may still change.` : '',
      hasFigures(previous) ? `${words.previous}: ${comparedText(meta.comparison, meta.sites)}.` : '',
    ].filter((sentence) => sentence !== '');
    byId('provisional').textContent = sentences.join(' ');
    byId('provisional').hidden = sentences.length === 0;
    byId('partial-coverage').textContent = 'Hatched: a part of what was expected was not observed, so the figure is lower than it should be.';
    byId('partial-coverage').hidden = partly.size === 0;
    byId('coverage-help').hidden = partly.size === 0;
    byId('revised').textContent = 'Marked above: the vendor has changed figures after their day was over. The table says which.';
    byId('revised').hidden = changed.size === 0;
  }

  #resize() {
    for (const plot of this.#plots) {
      const frame = plot.root.parentElement;
      if (plot.width !== frame.clientWidth) plot.setSize({ width: frame.clientWidth, height: heightFor(frame) });
    }
  }
}

/** The reason for an answer without any figure. */
export function whyEmpty(data) {
  if (data.every(({ state }) => state === 'future')) return 'These dates have not begun, so there are no figures yet.';
  if (data.every(({ state }) => state === 'closed')) return 'No site was open on these dates, and there are no figures.';
  return 'There are no figures for these dates.';
}

function isEmpty({ figures, previous }) {
  return !hasFigures(figures) && !hasFigures(previous);
}

function hasFigures(columns) {
  return [...columns.values()].flat(2).some((value) => value !== null);
}

function localTime(moment) {
  return new Date(moment * 1000).toISOString().slice(0, 19);
}

// For each group the certain part of its line, then for each the part that may still change, then for each the earlier period.
function linesOf(metric, { figures, previous, groups, uncertain }, kind) {
  const columns = figures.get(metric);
  const lines = (all, style) => all.map((column, at) => ({ name: groups[at].name, column, at, style }));
  const parts = columns.map((column) => splitUncertain(column, uncertain, kind === 'line'));
  return [
    ...lines(parts.map(([certain]) => certain), 'certain'),
    ...lines(parts.map(([, rest]) => rest), 'uncertain'),
    ...(kind === 'line' || hasFigures(previous) ? lines(previous.get(metric), 'previous') : []),
  ];
}
