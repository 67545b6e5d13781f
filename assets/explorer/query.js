// The page's query string is that of the API: the page passes it on unchanged, so that the server checks it.

const DEFAULTS = { compare: '', comparable: 'false', hours: '', group_by: 'site', fill: 'null', partial: 'deny', customer: '' };
const NAMES = ['sites', 'dates', 'compare', 'comparable', 'metric', 'bucket', 'hours', 'group_by', 'fill', 'partial', 'customer'];

/** Every parameter of `search` with a field in the form, as text; absent ones have their default. */
export function readQuery(search) {
  const given = new URLSearchParams(search);
  const values = { sites: '', dates: '', metric: '', bucket: 'hour', ...DEFAULTS };
  for (const name of NAMES) values[name] = given.get(name) ?? values[name];
  return values;
}

/** The query string of `values`, without defaults except the bucket. */
export function writeQuery(values) {
  const parts = NAMES.filter((name) => values[name] !== DEFAULTS[name] && values[name] !== '').map(
    (name) => `${name}=${encode(values[name])}`,
  );
  return parts.length ? `?${parts.join('&')}` : '';
}

/** The path of the answer to `search`, in `format`; it omits a format in `search`, which would not suit the page. */
export function apiPath(search, format) {
  const parts = search
    .replace(/^\?/, '')
    .split('&')
    .filter((part) => part !== '' && !/^format=(json|csv|ndjson|xlsx)$/.test(part));
  if (format) parts.push(`format=${format}`);
  return `/v1/traffic${parts.length ? '?' : ''}${parts.join('&')}`;
}

/**
 * The path of the answer to `search` with what the page shows beside the rows: totals, and the coverage of each row. It omits a form of
 * time, since the page shows local times.
 */
export function pagePath(search) {
  const path = apiPath(search.replace(/(^\??|&)time_format=(local|offset|utc)(?=&|$)/, '$1'));
  return `${path}${path.includes('?') ? '&' : '?'}include=totals,coverage`;
}

/** The non-empty parts of a comma-separated text. */
export function splitList(text) {
  return text.split(',').map((part) => part.trim()).filter((part) => part !== '');
}

function encode(text) {
  return encodeURIComponent(text).replaceAll('%2C', ',').replaceAll('%3A', ':');
}
