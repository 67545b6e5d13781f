import { getTraffic } from './orval.gen';
import { check, key } from './check';

// `orval.config.js` has the URL.
const options = { headers: { Authorization: `Bearer ${key}` } };
const query = { sites: [750, 751], dates: '2026-02-18', metric: ['entrances' as const], bucket: 'day' as const };

const figures = await getTraffic(query, options);
const refused = await getTraffic({ ...query, dates: '2026-02-30' }, options);
const csv = await getTraffic({ ...query, format: 'csv' }, options);

// The status chooses the type of `data`: figures, text or a problem.
if (figures.status !== 200 || typeof figures.data === 'string') throw new TypeError('no figures');
if (refused.status !== 400) throw new TypeError('not refused');
if (csv.status !== 200 || typeof csv.data !== 'string') throw new TypeError('no text');
check(figures.data.data, refused.data, csv.data);
