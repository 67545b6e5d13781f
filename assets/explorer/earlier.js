// How much of the earlier period of a comparison was observed: an answer tells only what its own rows are worth.

import { askTraffic, newRequestId } from './api.js';
import { groupOf } from './series.js';

/** The observed share of the earlier figures of each row of `answer` to `search` that lacks a part of them; empty if it is not known. */
export async function observedBefore(search, { meta, data }) {
  if (!meta.comparison || data.every(({ previous }) => previous?.time === undefined)) return new Map();
  try {
    const { answer } = await askTraffic(earlierPath(search, meta), { requestId: newRequestId() });
    return sharesBefore(meta, data, answer.data);
  } catch {
    // The page has its answer; this would only have added to it.
    return new Map();
  }
}

/** The path of the query for the earlier period of the answer to `search`, with the coverage of each row. */
export function earlierPath(search, { comparison }) {
  const given = new URLSearchParams(search);
  const lists = ['sites', 'metric'].map((name) => [name, given.getAll(name).join()]);
  for (const name of ['compare', 'comparable', 'sort', 'limit', 'time_format', 'format', 'include']) given.delete(name);
  for (const [name, list] of lists) given.set(name, list);
  const leftOut = comparison.left_out.map(({ site_id: id }) => `,-${id}`);
  given.set('sites', given.get('sites') + leftOut.join(''));
  given.set('dates', `${comparison.from}..${comparison.to}`);
  given.set('include', 'coverage');
  return `/v1/traffic?${given}`;
}

/** The coverage of the row of `earlier` that each row of `data` is compared with, where it is below 1 and has figures. */
export function sharesBefore(meta, data, earlier) {
  const place = (row, time) => `${time} ${groupOf(row, meta)}`;
  const coverage = new Map(earlier.map((row) => [place(row, row.time), row.coverage]));
  const shares = new Map();
  for (const row of data) {
    const share = coverage.get(place(row, row.previous?.time));
    const hasFigures = meta.metrics.some(({ name }) => (row.previous?.[name] ?? null) !== null);
    if (typeof share === 'number' && share < 1 && hasFigures) shares.set(row, share);
  }
  return shares;
}
