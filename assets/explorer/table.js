import { byId, make } from './dom.js';
import { bucketText, changeClass, changeText, coverageText, datesText, decimalsOf, figure } from './format.js';
import { isProfile, placeText } from './heat-map.js';
import { metricLabel } from './metrics.js';
import { isComparedWithPart, isPartial, isProvisional } from './series.js';

const ROWS_AT_ONCE = 1000;
const OTHER_DIRECTION = { ascending: 'descending', descending: 'ascending' };

/**
 * Shows the rows of `answer`: the first thousand at once, the others on demand. Returns a function that marks the rows of a map with its
 * words.
 */
export function showTable({ meta, data }) {
  const body = make('tbody');
  let rows = data;
  let revised = new Map();
  const decimals = new Map(meta.metrics.map(({ name }) => [name, decimalsOf(data.map((row) => row[name]), name)]));
  const shown = (row) => line(row, meta, decimals, revised.get(row));
  const sort = (key, direction) => {
    rows = sorted(data, key, direction);
    body.replaceChildren();
    addRows();
  };
  const table = make('table', { className: 'figures' },
    make('caption', { className: 'unseen', textContent: `The figures of the chart: ${datesText(meta.from, meta.to)}` }),
    head(meta, sort),
    body,
  );
  const more = byId('more-rows');
  const addRows = () => {
    const from = body.rows.length;
    body.append(...rows.slice(from, from + ROWS_AT_ONCE).map(shown));
    const left = data.length - body.rows.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(left, ROWS_AT_ONCE)} more of ${left} rows`;
  };

  addRows();
  more.onclick = addRows;
  byId('table').replaceChildren(table);
  byId('table').scrollTop = 0;
  byId('row-count').textContent = data.length === 1 ? '1 row' : `${data.length} rows`;
  return (words) => {
    revised = words;
    body.replaceChildren(...rows.slice(0, body.rows.length).map(shown));
  };
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

function head({ metrics, bucket, group_by: groupBy }, sort) {
  const group = groupBy === 'site' ? { key: 'site_id', label: 'Site' } : { key: groupBy, label: groupBy[0].toUpperCase() + groupBy.slice(1).replaceAll('_', ' ') };
  const time = isProfile(bucket) ? { key: bucket === 'hour_of_day' ? 'hour' : 'weekday', label: 'When' } : { key: 'time', label: 'Time' };
  const cells = [
    ...(groupBy === 'none' ? [] : [{ ...group, first: 'ascending' }]),
    { ...time, first: 'ascending' },
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

function line(row, meta, decimals, revised) {
  const profile = isProfile(meta.bucket);
  const provisional = !profile && isProvisional(row.time, meta);
  const time = profile ? placeText(row) : make('time', { dateTime: row.time, textContent: bucketText(row.time, meta) });
  return make('tr', { className: provisional ? 'is-provisional' : '' },
    ...(meta.group_by === 'none' ? [] : [group(row, meta)]),
    make('td', { className: 'when' }, time, ...marks(row, meta, provisional, revised)),
    ...meta.metrics.map(({ name }) => make('td', { className: 'number' }, figure(row[name] ?? null, name, decimals.get(name)), ...change(row, name))),
  );
}

function marks(row, meta, provisional, revised) {
  const texts = [];
  if (row.state === 'closed') texts.push('closed');
  else if (row.state === 'future') texts.push('not begun');
  else if (provisional) texts.push('provisional');
  if (isPartial(row)) texts.push(`${coverageText(row.coverage)} observed`);
  if (isComparedWithPart(row, meta)) texts.push(`${coverageText(row.previous.coverage)} observed before`);
  if (row.sites_observed < row.sites_expected) texts.push(`${row.sites_observed} of ${row.sites_expected} sites`);
  const spans = texts.map((textContent) => make('span', { className: 'mark', textContent }));
  if (revised !== undefined) spans.push(make('span', { className: 'mark is-revised', textContent: revised }));
  return spans;
}

function change(row, name) {
  const change = row.change?.[name];
  const text = changeText(change, name);
  return text === '' ? [] : [make('small', { className: changeClass(change), 'data-change': '', textContent: text })];
}

function group(row, { group_by: groupBy }) {
  if (groupBy !== 'site') return make('th', { scope: 'row', textContent: row[groupBy] ?? '–' });
  return make('th', { scope: 'row' }, row.site_name ?? 'Site', ' ', make('small', { textContent: row.site_id }));
}
