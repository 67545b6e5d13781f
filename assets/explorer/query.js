// The page's query string is the API's: it is handed over as it is, so that the server, not the page, judges it.

const DEFAULTS = { hours: '', group_by: 'site', fill: 'null', partial: 'deny', customer: '' };
const NAMES = ['sites', 'dates', 'metric', 'bucket', 'hours', 'group_by', 'fill', 'partial', 'customer'];

/** Every parameter of `search` that the form has a field for, as text; absent ones have their default. */
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

/** Where `search` is answered, in `format`; a format that `search` names itself would not suit the page. */
export function apiPath(search, format) {
  const parts = search
    .replace(/^\?/, '')
    .split('&')
    .filter((part) => part !== '' && !/^format=(json|csv|ndjson)$/.test(part));
  if (format) parts.push(`format=${format}`);
  return `/v1/traffic${parts.length ? '?' : ''}${parts.join('&')}`;
}

/** The parts of a comma-separated text, empty ones left out. */
export function splitList(text) {
  return text.split(',').map((part) => part.trim()).filter((part) => part !== '');
}

function encode(text) {
  return encodeURIComponent(text).replaceAll('%2C', ',').replaceAll('%3A', ':');
}
