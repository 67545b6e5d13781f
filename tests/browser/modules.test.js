// The explorer's pure modules, without a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cacheWords, parseCacheStatus, parseServerTiming, span } from '../../assets/explorer/cache-words.js';
import { whyEmpty } from '../../assets/explorer/charts.js';
import {
  axisFigureText, axisText, bucketText, changeClass, changeText, comparedText, coverageText, datesText, decimalsOf, figureText, momentText,
} from '../../assets/explorer/format.js';
import { apiPath, pagePath, readQuery, writeQuery } from '../../assets/explorer/query.js';
import { breakAtSkips, isComparedWithPart, isProvisional, splitUncertain, toSeries } from '../../assets/explorer/series.js';
import { fileName } from '../../assets/explorer/share.js';
import { sorted } from '../../assets/explorer/table.js';

test('a query survives a round trip', () => {
  const search = '?sites=750,751&dates=2026-02-18..2026-02-19&metric=entrances&bucket=hour&hours=09:00-17:00&group_by=none';
  const compared = '?sites=750&dates=last_month&compare=previous_year&comparable=true&metric=entrances&bucket=total';

  assert.equal(writeQuery(readQuery(search)), search);
  assert.equal(writeQuery(readQuery(compared)), compared);
});

test('the server receives the query of the URL, including its faults', () => {
  assert.equal(apiPath('?sites=7,,x&colour=red&sites=%FF'), '/v1/traffic?sites=7,,x&colour=red&sites=%FF');
  assert.equal(apiPath('?sites=7&format=csv'), '/v1/traffic?sites=7');
  assert.equal(apiPath('?sites=7&format=pdf'), '/v1/traffic?sites=7&format=pdf');
  assert.equal(apiPath('?sites=7', 'csv'), '/v1/traffic?sites=7&format=csv');
});

test('the page asks for local times, whatever form of time the URL asks for', () => {
  assert.equal(pagePath('?sites=7&time_format=utc&bucket=day'), '/v1/traffic?sites=7&bucket=day&include=totals,coverage');
  assert.equal(pagePath('?time_format=offset'), '/v1/traffic?include=totals,coverage');
  assert.equal(pagePath('?sites=7&time_format=iso'), '/v1/traffic?sites=7&time_format=iso&include=totals,coverage');
});

test('rows that are compared with a part of a period are told', () => {
  const meta = { metrics: [{ name: 'entrances' }] };
  const told = (previous) => isComparedWithPart({ coverage: 0.25, previous }, meta);

  assert.ok(told({ entrances: 5, coverage: 0.25 }));
  assert.ok(!told({ entrances: 5, coverage: 1 }));
  assert.ok(!told({ entrances: 5, coverage: null }));
  assert.ok(!told({ entrances: null, coverage: 0 }));
  assert.ok(!told(undefined));
});

test('Cache-Status is parsed with its quoted texts', () => {
  const facts = parseCacheStatus('pitaya; hit; ttl=-12; detail="stale-if-error"');

  assert.deepEqual([...facts], [['hit', true], ['ttl', '-12'], ['detail', 'stale-if-error']]);
});

test('every outcome of the cache has its own words', () => {
  const fields = [
    'pitaya; hit; ttl=42', 'pitaya; hit; ttl=-3; detail="stale-while-revalidate"', 'pitaya; hit; ttl=-3; detail="stale-if-error"',
    'pitaya; fwd=miss; fwd-status=200; stored', 'pitaya; fwd=partial; fwd-status=200; stored; collapsed', null,
  ];

  const sentences = fields.map((field) => cacheWords(field, 200).sentence);

  assert.equal(new Set(sentences).size, fields.length);
  assert.match(sentences[0], /42 seconds/);
  assert.match(sentences[4], /shared/);
  assert.equal(cacheWords('pitaya; hit; ttl=42', 304).verdict, 'unchanged');
});

test('Server-Timing is put in words', () => {
  assert.deepEqual(parseServerTiming('plan;dur=0.1, vendor;dur=120, total;desc="x";dur=3'), [
    { label: 'Planning', milliseconds: 0.1 },
    { label: 'Waiting for the vendor', milliseconds: 120 },
    { label: 'total', milliseconds: 3 },
  ]);
  assert.deepEqual(parseServerTiming(null), []);
});

test('durations have fitting units', () => {
  assert.deepEqual([1, 45, 119, 120, 7200, 2_592_000].map(span), ['1 second', '45 seconds', '119 seconds', '2 minutes', '2 hours', '30 days']);
});

test('rows become one series per site, and absent rows are gaps', () => {
  const meta = { group_by: 'site', metrics: [{ name: 'entrances' }], sites: [{ site_id: 750, name: 'Tyler' }, { site_id: 751, name: null }] };
  const data = [
    { site_id: 750, time: '2026-02-18T09:00:00', entrances: 1 },
    { site_id: 750, time: '2026-02-18T10:00:00', entrances: null },
    { site_id: 751, time: '2026-02-18T10:00:00', entrances: 3 },
  ];

  const { groups, times, figures } = toSeries({ meta, data });

  assert.deepEqual(groups.map(({ name }) => name), ['Tyler', 'Site 751']);
  assert.equal(times[1] - times[0], 3600);
  assert.deepEqual(figures.get('entrances'), [[1, null], [null, 3]]);
});

test('no line crosses skipped time', () => {
  const { times, columns } = breakAtSkips([0, 10, 40, 50], [[1, 2, 3, 4]]);

  assert.deepEqual(times, [0, 10, 20, 40, 50]);
  assert.deepEqual(columns, [[1, 2, null, 3, 4]]);
});

test('a bucket is provisional when any of its days is', () => {
  const meta = (bucket) => ({ bucket, to: '2026-03-31', provisional_from: '2026-03-18' });

  assert.equal(isProvisional('2026-03-17T23:00:00', meta('hour')), false);
  assert.equal(isProvisional('2026-03-18T00:00:00', meta('hour')), true);
  assert.equal(isProvisional('2026-03-16T00:00:00', meta('week')), true);
  assert.equal(isProvisional('2026-03-09T00:00:00', meta('week')), false);
  assert.equal(isProvisional('2026-03-01T00:00:00', meta('month')), true);
  assert.equal(isProvisional('2026-02-01T00:00:00', meta('month')), false);
  assert.equal(isProvisional('2026-01-01T00:00:00', meta('total')), true);
  assert.equal(isProvisional('2026-03-30T00:00:00', { ...meta('day'), provisional_from: null }), false);
});

test('times are shown as finely as their bucket', () => {
  assert.equal(bucketText('2026-02-18T09:15:00', { bucket: '15m' }), '2026-02-18 Wed 09:15');
  assert.equal(bucketText('2026-02-18T00:00:00', { bucket: 'day' }), '2026-02-18 Wed');
  assert.equal(bucketText('2026-02-01T00:00:00', { bucket: 'month' }), '2026-02');
  assert.equal(bucketText('2026-10-01T00:00:00', { bucket: 'total', from: '2026-10-01', to: '2026-10-31' }), '2026-10-01 to 2026-10-31');
  assert.equal(axisText(Date.UTC(2026, 1, 18) / 1000, 3600, false), '00:00\n18 Feb');
});

test('a file name describes its content', () => {
  const meta = { metrics: [{ name: 'entrances' }], from: '2026-02-18', to: '2026-02-18', bucket: 'day' };

  assert.equal(fileName(meta, 'csv'), 'pitaya_entrances_2026-02-18_day.csv');
});

test('a change that rounds to nothing has no direction', () => {
  assert.equal(changeText(-0.0001, 'entrances'), '0.0%');
  assert.equal(changeClass(-0.0001), 'change');
  assert.equal(changeText(-0.0126, 'conversion_rate'), '−1.3 points');
  assert.equal(changeClass(-0.0126), 'change is-down');
  assert.equal(changeText(0.0126, 'entrances'), '+1.3%');
  assert.equal(changeClass(0.0126), 'change is-up');
  assert.equal(changeText(null, 'entrances'), '');
});

test('figures have one format in table, chart and axis', () => {
  assert.equal(figureText(1029, 'entrances'), '1,029');
  assert.equal(figureText(0, 'entrances'), '0');
  assert.equal(figureText(33.921, 'dwell_time'), '33.9210');
  assert.equal(figureText(0.2777, 'conversion_rate'), '27.77%');
  assert.equal(figureText(null, 'entrances'), '–');
  assert.equal(axisFigureText(1200, 'entrances', 2000), '1,200');
  assert.equal(axisFigureText(120_000, 'entrances', 120_000), '120K');
  assert.equal(axisFigureText(0.25, 'capture_rate', 1), '25%');
  assert.equal(momentText('2026-02-19T15:03:24.5Z'), '2026-02-19 15:03:24 UTC');
});

test('all figures of a column have the decimals of the longest', () => {
  assert.equal(decimalsOf([22.75, 29, null, 48.5], 'entrances'), 2);
  assert.equal(figureText(29, 'entrances', 2), '29.00');
  assert.equal(decimalsOf([1029, 3], 'entrances'), 0);
  assert.equal(decimalsOf([30], 'dwell_time'), 4);
  assert.equal(decimalsOf([], 'entrances'), 0);
});

test('a coverage below 1 is never 100%', () => {
  assert.deepEqual([0.9999, 0.996, 0.29, 0.25, 0.0001].map(coverageText), ['99%', '99%', '29%', '25%', '0%']);
});

test('a comparison tells its dates, and the time at which it ends', () => {
  const day = { from: '2026-11-20', to: '2026-11-20' };
  const [here, there] = [{ timezone: 'America/Chicago' }, { timezone: 'Europe/London' }];

  assert.equal(datesText('2026-11-20', '2026-11-20'), '2026-11-20');
  assert.equal(comparedText({ from: '2026-11-13', to: '2026-11-19', cut_at: {} }, [here]), '2026-11-13 to 2026-11-19');
  assert.equal(comparedText({ ...day, cut_at: { 'America/Chicago': '17:15' } }, [here]), '2026-11-20 up to 17:15');
  // The day in London is over, and compared as a whole.
  assert.equal(comparedText({ ...day, cut_at: { 'America/Chicago': '17:15' } }, [here, there]), '2026-11-20 up to 17:15 in America/Chicago');
  assert.equal(
    comparedText({ from: '2026-11-14', to: '2026-11-20', cut_at: { 'America/Chicago': '17:15', 'Europe/London': '23:15' } }, [here, there]),
    '2026-11-14 to 2026-11-20, the last day up to 17:15 in America/Chicago, 23:15 in Europe/London',
  );
  assert.equal(comparedText({ ...day, cut_at: { UTC: '17:15' } }, [{ timezone: null }]), '2026-11-20 up to 17:15');
  assert.equal(comparedText({ from: null, to: null, cut_at: {} }, [here]), 'no earlier dates');
});

test('the uncertain part of a line begins at the last certain point, that of bars does not', () => {
  assert.deepEqual(splitUncertain([1, 2, 3], new Set([2]), true), [[1, 2, null], [null, 2, 3]]);
  assert.deepEqual(splitUncertain([1, 2, 3], new Set([2]), false), [[1, 2, null], [null, null, 3]]);
});

test('an answer without figures has its reason', () => {
  assert.match(whyEmpty([{ state: 'future' }, { state: 'future' }]), /have not begun/);
  assert.match(whyEmpty([{ state: 'closed' }]), /No site was open/);
  assert.equal(whyEmpty([{ state: 'future' }, { state: 'open' }]), 'There are no figures for these dates.');
});

test('rows are sorted by a column, and missing figures come last in both directions', () => {
  const rows = [{ at: 1, n: 5 }, { at: 2, n: null }, { at: 3, n: 7 }, { at: 4, n: 5 }];
  const order = (direction) => sorted(rows, 'n', direction).map(({ at }) => at);

  assert.deepEqual(order('ascending'), [1, 4, 3, 2]);
  assert.deepEqual(order('descending'), [3, 1, 4, 2]);
});
