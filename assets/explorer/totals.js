import { byId, make } from './dom.js';
import { changeClass, changeText, figureText } from './format.js';
import { metricLabel } from './metrics.js';

/** Shows the total of each metric over all series and dates, with its change if the query compares. */
export function showTotals({ meta, grand_total: total }) {
  const cards = (total ? meta.metrics : []).map(({ name }) => card(name, total));
  byId('totals').replaceChildren(...cards);
}

function card(name, total) {
  const change = total.change?.[name] ?? null;
  const mark = make('span', { className: changeClass(change), textContent: changeText(change, name) });
  return make('div', {},
    make('dt', { textContent: metricLabel(name) }),
    make('dd', {}, figureText(total[name] ?? null, name), ...(change === null ? [] : [' ', mark])),
  );
}
