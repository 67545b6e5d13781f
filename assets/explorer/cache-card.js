import { cacheWords, parseServerTiming } from './cache-words.js';
import { byId, make } from './dom.js';
import { momentText } from './format.js';

const VERDICTS = { hit: 'Hit', miss: 'Miss', partial: 'Partial', stale: 'Stale', unchanged: 'Unchanged', unknown: 'Unknown' };

/** Shows the cache outcome of this answer, and returns its sentence for the announcer. */
export function showCache({ headers, status, milliseconds, answer }) {
  const raw = headers.get('Cache-Status');
  const { verdict, sentence } = cacheWords(raw, status);
  const steps = parseServerTiming(headers.get('Server-Timing'));

  byId('cache').replaceChildren(
    make('p', {}, make('span', { className: `badge badge-${verdict}`, textContent: VERDICTS[verdict] }), ` ${sentence}`),
    timings(steps, milliseconds),
    facts({
      'Figures as of': make('time', { dateTime: answer.meta.as_of, textContent: momentText(answer.meta.as_of) }),
      'Cache-Status': raw,
      'Cache-Control': headers.get('Cache-Control'),
      Age: headers.get('Age'),
      ETag: headers.get('ETag'),
      'Request id': headers.get('X-Request-Id'),
    }),
  );
  return sentence;
}

function timings(steps, roundTrip) {
  const all = [...steps, { label: 'Round trip, as seen here', milliseconds: roundTrip }];
  const longest = Math.max(...all.map((step) => step.milliseconds), 1);
  const rows = all.map(({ label, milliseconds }) =>
    make('tr', {},
      make('th', { scope: 'row', textContent: label }),
      make('td', { textContent: `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms` }),
      make('td', { 'aria-hidden': 'true' }, make('meter', { max: longest, value: milliseconds })),
    ),
  );
  return make('table', { className: 'timings' }, make('caption', { className: 'unseen', textContent: 'Duration of each step' }), make('tbody', {}, ...rows));
}

function facts(entries) {
  const told = Object.entries(entries).filter(([, value]) => value !== null);
  return make('dl', { className: 'facts' },
    ...told.flatMap(([name, value]) => [
      make('dt', { textContent: name }),
      make('dd', {}, typeof value === 'string' ? make('code', { textContent: value }) : value),
    ]),
  );
}
