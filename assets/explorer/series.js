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

/** The series of an answer: `{times, groups: [{id, name}], figures: metric → group → [figure or null by time]}`. */
export function toSeries({ meta, data }) {
  const times = [...new Set(data.map((row) => seconds(row.time)))].sort((a, b) => a - b);
  const place = new Map(times.map((time, at) => [time, at]));
  const groups = groupsOf(meta);
  const rank = new Map(groups.map((group, at) => [group.id, at]));
  const figures = new Map(meta.metrics.map(({ name }) => [name, groups.map(() => new Array(times.length).fill(null))]));

  for (const row of data) {
    const group = rank.get(meta.group_by === 'none' ? null : row.site_id);
    const at = place.get(seconds(row.time));
    for (const [name, columns] of figures) columns[group][at] = row[name] ?? null;
  }
  return { times, groups, figures };
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

function lastDate(time, bucket, to) {
  const start = new Date(`${time.slice(0, 10)}T00:00:00Z`);
  if (bucket === 'total') return to;
  if (bucket === 'week') start.setUTCDate(start.getUTCDate() + 6);
  if (bucket === 'month') start.setUTCMonth(start.getUTCMonth() + 1, 0);
  const last = start.toISOString().slice(0, 10);
  return last < to ? last : to;
}

function groupsOf(meta) {
  if (meta.group_by === 'none') return [{ id: null, name: 'All sites' }];
  return meta.sites.map(({ site_id: id, name }) => ({ id, name: name ?? `Site ${id}` }));
}
