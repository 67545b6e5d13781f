import { make } from './dom.js';
import { isMean, isRate, metricLabel } from './metrics.js';

/** The short names of the weekdays, from Sunday. */
export const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const BUCKETS = {
  hour: 'hour', day: 'day', week: 'week', month: 'month', quarter: 'quarter', year: 'year',
  hour_of_day: 'hour of the day', day_of_week: 'day of the week', hour_of_week: 'hour of the week',
};

/** A figure for the table; only the style separates groups of three digits, so that a copied count is still a number. */
export function figure(value, metric, decimals) {
  if (value === null) return make('span', { className: 'none', title: 'no data', textContent: '–' });
  const groups = figureText(value, metric, decimals).split(',');
  return make('span', {}, ...groups.map((group) => make('span', { className: 'thousand', textContent: group })));
}

/** The decimals that the figures of one column need: as many as the longest of them, four at most. */
export function decimalsOf(values, metric) {
  if (isMean(metric)) return 4;
  const lengths = values.map((value) => `${Number((value ?? 0).toFixed(4))}`.split('.')[1]?.length ?? 0);
  return lengths.reduce((most, length) => Math.max(most, length), 0);
}

/** A figure as text: rates in percent, others in groups of three digits. */
export function figureText(value, metric, decimals = decimalsOf([value], metric)) {
  if (value === null || value === undefined) return '–';
  if (isRate(metric)) return `${(100 * value).toFixed(2)}%`;
  return grouped(value, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** The text of a value on the axis of a metric; `largest` is the axis's largest value. */
export function axisFigureText(value, metric, largest) {
  if (isRate(metric)) return `${grouped(100 * value, { maximumFractionDigits: 1 })}%`;
  return grouped(value, { notation: largest >= 100_000 ? 'compact' : 'standard', maximumFractionDigits: 4 });
}

/** A change as text: that of a rate in percentage points, any other relative to the earlier figure; an empty text without one. */
export function changeText(value, metric) {
  if (value === null || value === undefined) return '';
  const shown = shownPercent(value);
  return `${shown > 0 ? '+' : ''}${shown.toFixed(1).replace('-', '−')}${isRate(metric) ? ' points' : '%'}`;
}

/** The class of a change by its direction, as far as its text shows one. */
export function changeClass(value) {
  const shown = shownPercent(value ?? 0);
  if (shown === 0) return 'change';
  return shown < 0 ? 'change is-down' : 'change is-up';
}

/** A share in percent, as exact as it is shown; never minus zero. */
function shownPercent(value) {
  return Number((100 * value).toFixed(1)) + 0;
}

/** The moment of an answer in UTC, to the second. */
export function momentText(moment) {
  return new Date(moment).toISOString().replace('T', ' ').replace(/\..*$/, ' UTC');
}

/** A coverage below 1 in percent, rounded down: 100% would say that nothing is missing. */
export function coverageText(coverage) {
  // The API rounds to four decimals.
  return `${Math.floor(Math.round(coverage * 10_000) / 100)}%`;
}

/** A bucket's start as text, without the parts that the bucket implies; the dates of a total. */
export function bucketText(time, { bucket, from, to }) {
  const [date, clock] = time.split('T');
  if (bucket === 'total') return datesText(from, to);
  if (bucket === 'month') return date.slice(0, 7);
  if (bucket === 'year') return date.slice(0, 4);
  if (['day', 'week', 'quarter'].includes(bucket)) return `${date} ${weekday(date)}`;
  return `${date} ${weekday(date)} ${clock.slice(0, 5)}`;
}

/** A moment of the axis as text, in steps of `step` seconds. */
export function axisText(moment, step, isFirst) {
  const date = new Date(moment * 1000);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  const clock = date.toISOString().slice(11, 16);
  if (step >= 28 * 86_400) return `${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  if (step >= 86_400) return isFirst ? `${day}\n${date.getUTCFullYear()}` : day;
  return isFirst || clock === '00:00' ? `${clock}\n${day}` : clock;
}

/** The title of an answer: its metrics and bucket. */
export function answerTitle({ metrics, bucket }) {
  const names = metrics.map(({ name }) => metricLabel(name));
  const list = names.length > 3 ? `${names.length} metrics` : names.join(', ');
  return bucket === 'total' ? `${list} in total` : `${list} by ${BUCKETS[bucket] ?? bucket}`;
}

/** The line below the title: sites and dates. */
export function answerSubtitle({ sites = [], site_count: count = sites.length, group_by: groupBy, from, to, hours, comparison }) {
  const [only] = sites;
  const grouping = { site: '', none: ' combined' }[groupBy] ?? ` by ${groupBy}`;
  const where = count === 1 && only ? (only.name ?? `Site ${only.site_id}`) : `${count} sites${grouping}`;
  const before = comparison ? `compared with ${comparedText(comparison, sites)}` : '';
  return [where, datesText(from, to), before, hoursText(hours), 'local time'].filter((part) => part !== '').join(' · ');
}

/** Two dates, the last included; one if they are the same. */
export function datesText(from, to) {
  return from === to ? from : `${from} to ${to}`;
}

/** The dates of the other side of a comparison, and the time at which it ends if a day of the `sites` is not over. */
export function comparedText({ from, to, cut_at: cuts }, sites = []) {
  if (from === null) return 'no earlier dates';
  const zones = Object.entries(cuts);
  const [first] = zones;
  if (first === undefined) return datesText(from, to);
  const isOneTime = sites.length > 0 && sites.every(({ timezone }) => cuts[timezone ?? 'UTC'] === first[1]);
  const times = isOneTime ? first[1] : zones.map(([zone, time]) => `${time} in ${zone}`).join(', ');
  return `${datesText(from, to)}${from === to ? '' : ', the last day'} up to ${times}`;
}

function hoursText(hours) {
  if (hours === 'open') return 'opening hours';
  const whole = hours.from === '00:00' && hours.to === '24:00';
  return whole ? '' : `${hours.from}–${hours.to}`;
}

function grouped(value, options) {
  return value.toLocaleString('en', options);
}

function weekday(date) {
  return WEEKDAYS[new Date(`${date}T00:00:00Z`).getUTCDay()];
}
