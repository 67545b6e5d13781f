// Profiles: a coloured field for each hour of the day, weekday, or hour of the week.

import { make } from './dom.js';
import { figureText, WEEKDAYS } from './format.js';

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const ISO_WEEKDAYS = [1, 2, 3, 4, 5, 6, 7];

/** Whether the bucket is a profile, whose rows have no time. */
export function isProfile(bucket) {
  return ['hour_of_day', 'day_of_week', 'hour_of_week'].includes(bucket);
}

/** The place of a profile's row in words. */
export function placeText({ weekday, hour }) {
  const day = weekday === undefined ? '' : WEEKDAYS[weekday % 7];
  return [day, hour === undefined ? '' : `${String(hour).padStart(2, '0')}:00`].filter((part) => part !== '').join(' ');
}

/** The heat map of one metric and one series, from its rows. */
export function heatMap(metric, rows) {
  const figures = new Map(rows.map((row) => [key(row), row[metric] ?? null]));
  const known = [...figures.values()].filter((value) => value !== null);
  const most = Math.max(...known, 0);
  const weekdays = rows.some((row) => row.weekday !== undefined) ? ISO_WEEKDAYS : [undefined];
  const hours = rows.some((row) => row.hour !== undefined) ? HOURS : [undefined];
  const busiest = rows.find((row) => most > 0 && row[metric] === most);

  const table = make('table', { className: 'heat' },
    make('thead', {}, make('tr', {}, make('td'), ...hours.map((hour) => make('th', { scope: 'col', textContent: hour ?? '' })))),
    make('tbody', {}, ...weekdays.map((weekday) =>
      make('tr', {},
        make('th', { scope: 'row', textContent: weekday === undefined ? '' : WEEKDAYS[weekday % 7] }),
        ...hours.map((hour) => field(figures.get(key({ weekday, hour })) ?? null, most, metric, placeText({ weekday, hour }))),
      ),
    )),
  );
  const words = busiest ? `Most at ${placeText(busiest)}: ${figureText(most, metric)}` : 'No figures';
  return make('div', { className: 'heat-frame' }, table, make('p', { className: 'hint', textContent: words }));
}

function field(value, most, metric, place) {
  const cell = make('td', { title: `${place}: ${figureText(value, metric)}` }, make('span', { className: 'unseen', textContent: figureText(value, metric) }));
  if (value !== null) cell.style.setProperty('--heat', `${most === 0 ? 0 : Math.round((100 * value) / most)}%`);
  else cell.className = 'none';
  return cell;
}

function key({ weekday, hour }) {
  return `${weekday ?? ''} ${hour ?? ''}`;
}
