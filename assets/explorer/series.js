// Turns rows into chart data. Times are local to the site and have no offset: the axis treats them as UTC.

const DAY = 86_400;

/** A local time as seconds on the axis. */
export function seconds(time) {
  return Date.parse(`${time}Z`) / 1000;
}

/** The date of a moment on the axis. */
export function dateOf(moment) {
  return new Date(moment * 1000).toISOString().slice(0, 10);
}

/**
 * The series of an answer: `{times, groups: [{id, name}], figures, previous, uncertain, partly, changed}`. `figures` and `previous` map a
 * metric to its columns by group, each with a figure or null by time. `uncertain` holds the places in `times` whose figures may still
 * change, `partly` those with a row that was observed only in part, and `changed` those with one of the rows `revised`.
 */
export function toSeries({ meta, data }, revised = new Map()) {
  const times = [...new Set(data.map((row) => seconds(row.time)))].sort((a, b) => a - b);
  const place = new Map(times.map((time, at) => [time, at]));
  const groups = groupsOf(meta, data);
  const rank = new Map(groups.map((group, at) => [group.id, at]));
  const columns = () => new Map(meta.metrics.map(({ name }) => [name, groups.map(() => new Array(times.length).fill(null))]));
  const [figures, previous] = [columns(), columns()];
  const [uncertain, partly, changed] = [new Set(), new Set(), new Set()];

  for (const row of data) {
    const group = rank.get(groupOf(row, meta));
    const at = place.get(seconds(row.time));
    for (const [name, byGroup] of figures) byGroup[group][at] = row[name] ?? null;
    for (const [name, byGroup] of previous) byGroup[group][at] = row.previous?.[name] ?? null;
    if (isProvisional(row.time, meta)) uncertain.add(at);
    if (isPartial(row)) partly.add(at);
    if (revised.has(row)) changed.add(at);
  }
  return { times, groups, figures, previous, uncertain, partly, changed };
}

/** Whether a row has figures although a part of what was expected is missing. */
export function isPartial({ coverage }) {
  return typeof coverage === 'number' && coverage < 1;
}

/** Whether a row is compared with figures although a part of what was expected of them is missing. */
export function isComparedWithPart({ previous = {} }, { metrics }) {
  return isPartial(previous) && metrics.some(({ name }) => (previous[name] ?? null) !== null);
}

/** A column in two: the certain part, and the part that may still change; that of a line begins at the last certain point. */
export function splitUncertain(column, uncertain, isLine) {
  const certain = column.map((value, at) => (uncertain.has(at) ? null : value));
  const rest = column.map((value, at) => (uncertain.has(at) || (isLine && uncertain.has(at + 1)) ? value : null));
  return [certain, rest];
}

/** The rows of each group, in the order of the groups. */
export function rowsByGroup({ meta, data }) {
  return groupsOf(meta, data).map((group) => ({ group, rows: data.filter((row) => groupOf(row, meta) === group.id) }));
}

/** The distance between neighbouring buckets, in seconds; a day if there is only one. */
export function stepOf(times) {
  let step = Infinity;
  for (let at = 1; at < times.length; at += 1) step = Math.min(step, times[at] - times[at - 1]);
  return step === Infinity ? DAY : step;
}

/** The same columns with an empty bucket wherever time is skipped, so that no line crosses a night or a missing row. */
export function breakAtSkips(times, columns) {
  const step = stepOf(times);
  const brokenTimes = [];
  const broken = columns.map(() => []);
  times.forEach((time, at) => {
    // Months are 28 to 31 days apart, which is not a skip.
    if (at > 0 && time - times[at - 1] > 1.5 * step) {
      brokenTimes.push(times[at - 1] + step);
      broken.forEach((column) => column.push(null));
    }
    brokenTimes.push(time);
    broken.forEach((column, which) => column.push(columns[which][at]));
  });
  return { times: brokenTimes, columns: broken };
}

/** Whether the bucket that starts at `time` may still change: it contains a day from `provisional_from` on. */
export function isProvisional(time, { bucket, to, provisional_from: from }) {
  return from !== null && from !== undefined && lastDate(time, bucket, to) >= from;
}

/** The last date of the bucket that starts at `time`, within the dates up to `to`. */
export function lastDate(time, bucket, to) {
  const start = new Date(`${time.slice(0, 10)}T00:00:00Z`);
  if (bucket === 'total') return to;
  if (bucket === 'week') start.setUTCDate(start.getUTCDate() + 6);
  const months = { month: 1, quarter: 3, year: 12 }[bucket];
  if (months) start.setUTCMonth(start.getUTCMonth() + months, 0);
  const last = start.toISOString().slice(0, 10);
  return last < to ? last : to;
}

function groupOf(row, { group_by: groupBy }) {
  if (groupBy === 'none') return 'all';
  return groupBy === 'site' ? row.site_id : (row[groupBy] ?? null);
}

function groupsOf(meta, data) {
  if (meta.group_by === 'none') return [{ id: 'all', name: 'All sites' }];
  const ids = [...new Set(data.map((row) => groupOf(row, meta)))];
  if (meta.group_by !== 'site') return ids.map((id) => ({ id, name: id ?? `no ${meta.group_by}` }));
  const names = new Map([...(meta.sites ?? []).map((site) => [site.site_id, site.name]), ...data.filter((row) => row.site_name).map((row) => [row.site_id, row.site_name])]);
  return ids.map((id) => ({ id, name: names.get(id) ?? `Site ${id}` }));
}
