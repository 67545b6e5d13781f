// What the vendor has changed since the shown days were over, from the feed of revisions.

import { askRevisions } from './api.js';
import { figureText } from './format.js';
import { isProfile } from './heat-map.js';
import { metricLabel } from './metrics.js';
import { lastDate } from './series.js';

const MOST_SITES = 200;

/** The words about each revised row of `answer`, by row; empty if the caller may not ask, or if nothing was revised. */
export async function revisedRows({ meta, data }) {
  const { sites = [], metrics } = meta;
  // The answer does not tell which sites have which value of a tag.
  const isByTag = !['site', 'none'].includes(meta.group_by);
  if (data.length === 0 || sites.length === 0 || sites.length > MOST_SITES || isByTag || isProfile(meta.bucket)) return new Map();
  const events = await askRevisions({
    sites: sites.map((site) => site.site_id),
    metrics: metrics.map(({ name }) => name),
    // An event is seen after its day.
    since: `${meta.from}T00:00:00Z`,
  }).catch(() => []);
  return wordsByRow(meta, data, events);
}

/** The words about each row of `data` with a day that `events` are about. */
export function wordsByRow(meta, data, events) {
  const byDay = new Map();
  for (const event of events) {
    if (event.customer_id !== meta.customer_id) continue;
    for (const place of [event.date, `${event.date} ${event.site_id}`]) byDay.set(place, [...(byDay.get(place) ?? []), event]);
  }
  if (byDay.size === 0) return new Map();
  const rows = data.map((row) => {
    const site = meta.group_by === 'none' ? '' : ` ${row.site_id}`;
    const days = datesOf(row, meta).filter((date) => byDay.has(date + site));
    return [row, words(days.map((date) => byDay.get(date + site)), row, meta)];
  });
  return new Map(rows.filter(([, text]) => text !== ''));
}

function datesOf({ time }, { bucket, from, to }) {
  const [start, end] = [time.slice(0, 10), lastDate(time, bucket, to)];
  const dates = [];
  for (let date = start < from ? from : start; date <= end; date = next(date)) dates.push(date);
  return dates;
}

function next(date) {
  const day = new Date(`${date}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + 1);
  return day.toISOString().slice(0, 10);
}

// The oldest event tells the figure that was shown first.
function words(days, row, { bucket, metrics, group_by: groupBy, hours }) {
  const isEmpty = metrics.every(({ name }) => row[name] === null);
  if (days.length === 0 || (isEmpty && days.flat().every(({ kind }) => kind !== 'withdrawn'))) return '';
  const [events] = days;
  if (days.length > 1) return `revised on ${days.length} days`;
  const isBelowADay = /^\d+[mh]$|^hour$/.test(bucket);
  if (isBelowADay) return 'day revised';
  const isWholeDay = bucket === 'day' && groupBy === 'site' && hours.from === '00:00' && hours.to === '24:00';
  if (!isWholeDay) return 'revised';
  const parts = metrics.flatMap(({ name }) => {
    const first = events.find(({ metric }) => metric === name);
    if (first === undefined) return [];
    const label = metrics.length === 1 ? '' : `${metricLabel(name).toLowerCase()} `;
    if (first.old === null) return [`${label}came late`];
    return first.old === row[name] ? [] : [`${label}was ${figureText(first.old, name)}`];
  });
  return ['revised', parts.join(', ')].filter((part) => part !== '').join(': ');
}
