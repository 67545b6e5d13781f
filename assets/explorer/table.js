import { byId, make } from './dom.js';
import { bucketText, figure } from './format.js';
import { metricLabel } from './metrics.js';
import { isProvisional } from './series.js';

const ROWS_AT_ONCE = 1000;
const OTHER_DIRECTION = { ascending: 'descending', descending: 'ascending' };

/** Shows the rows of `answer`: the first thousand at once, the others on demand. */
export function showTable({ meta, data }) {
  const bySite = meta.group_by !== 'none';
  const body = make('tbody');
  let rows = data;
  const sort = (key, direction) => {
    rows = sorted(data, key, direction);
    body.replaceChildren();
    addRows();
  };
  const table = make('table', { className: 'figures' },
    make('caption', { className: 'unseen', textContent: `The figures of the chart, from ${meta.from} to ${meta.to}` }),
    head(meta, bySite, sort),
    body,
  );
  const more = byId('more-rows');
  const addRows = () => {
    const from = body.rows.length;
    body.append(...rows.slice(from, from + ROWS_AT_ONCE).map((row) => line(row, meta, bySite)));
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

/** The rows in order of `key`, those without a value last; rows with equal values keep their order. */
export function sorted(rows, key, direction) {
  const sign = direction === 'ascending' ? 1 : -1;
  return [...rows].sort((a, b) => {
    const [left, right] = [a[key] ?? null, b[key] ?? null];
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (left < right ? -1 : Number(left > right));
  });
}

function head({ metrics }, bySite, sort) {
  const cells = [
    ...(bySite ? [{ key: 'site_id', label: 'Site', first: 'ascending' }] : []),
    { key: 'time', label: 'Time', first: 'ascending' },
    ...metrics.map(({ name }) => ({ key: name, label: metricLabel(name), first: 'descending', className: 'number' })),
  ].map(({ key, label, first, className = '' }) => {
    const cell = make('th', { scope: 'col', className });
    if (className !== '') cell.dataset.metric = key;
    const button = make('button', { type: 'button', textContent: label });
    button.addEventListener('click', () => {
      const direction = OTHER_DIRECTION[cell.getAttribute('aria-sort')] ?? first;
      for (const other of cells) other.removeAttribute('aria-sort');
      cell.setAttribute('aria-sort', direction);
      sort(key, direction);
    });
    cell.append(button);
    return cell;
  });
  return make('thead', {}, make('tr', {}, ...cells));
}

function line(row, meta, bySite) {
  const provisional = isProvisional(row.time, meta);
  const time = make('time', { dateTime: row.time, textContent: bucketText(row.time, meta.bucket) });
  const mark = provisional ? [make('span', { className: 'mark', textContent: 'provisional' })] : [];
  return make('tr', { className: provisional ? 'is-provisional' : '' },
    ...(bySite ? [site(row)] : []),
    make('td', {}, time, ...mark),
    ...meta.metrics.map(({ name }) => make('td', { className: 'number' }, figure(row[name] ?? null, name))),
  );
}

function site({ site_id: id, site_name: name }) {
  return make('th', { scope: 'row' }, name ?? 'Site', ' ', make('small', { textContent: id }));
}
