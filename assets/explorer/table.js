import { byId, make } from './dom.js';
import { bucketText, figure } from './format.js';
import { metricLabel } from './metrics.js';
import { isProvisional } from './series.js';

const ROWS_AT_ONCE = 1000;

/** Shows the rows of `answer`: the first thousand at once, the others on demand. */
export function showTable({ meta, data }) {
  const bySite = meta.group_by !== 'none';
  const body = make('tbody');
  const table = make('table', { className: 'figures' },
    make('caption', { className: 'unseen', textContent: `The figures of the chart, from ${meta.from} to ${meta.to}` }),
    head(meta, bySite),
    body,
  );
  const more = byId('more-rows');
  const addRows = () => {
    const from = body.rows.length;
    body.append(...data.slice(from, from + ROWS_AT_ONCE).map((row) => line(row, meta, bySite)));
    const left = data.length - body.rows.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(left, ROWS_AT_ONCE)} more of ${left} rows`;
  };

  addRows();
  more.onclick = addRows;
  byId('table').replaceChildren(table);
  byId('table').scrollTop = 0;
  byId('row-count').textContent = data.length === 1 ? '1 row' : `${data.length} rows`;
}

function head({ metrics }, bySite) {
  const columns = [...(bySite ? ['Site'] : []), 'Time'].map((textContent) => make('th', { scope: 'col', textContent }));
  const figures = metrics.map(({ name }) => {
    const cell = make('th', { scope: 'col', className: 'number', textContent: metricLabel(name) });
    cell.dataset.metric = name;
    return cell;
  });
  return make('thead', {}, make('tr', {}, ...columns, ...figures));
}

function line(row, meta, bySite) {
  const provisional = isProvisional(row.time, meta);
  const time = make('time', { dateTime: row.time, textContent: bucketText(row.time, meta.bucket) });
  const mark = provisional ? [make('span', { className: 'mark', textContent: 'provisional' })] : [];
  return make('tr', { className: provisional ? 'is-provisional' : '' },
    ...(bySite ? [site(row)] : []),
    make('td', {}, time, ...mark),
    ...meta.metrics.map(({ name }) => make('td', { className: 'number' }, figure(row[name] ?? null))),
  );
}

function site({ site_id: id, site_name: name }) {
  return make('th', { scope: 'row' }, name ?? 'Site', ' ', make('small', { textContent: id }));
}
