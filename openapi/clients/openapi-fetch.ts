import createClient from 'openapi-fetch';
import type { paths } from './pitaya';
import { check, key, url } from './check';

// The media types choose figures as JSON; without them, `data` could also be the text of a CSV.
const pitaya = createClient<paths, 'application/json' | 'application/problem+json'>({
  baseUrl: url,
  headers: { Authorization: `Bearer ${key}` },
});
const query = { sites: [750, 751], dates: '2026-02-18', metric: ['entrances' as const], bucket: 'day' as const };

const { data } = await pitaya.GET('/v1/traffic', { params: { query } });
const { error } = await pitaya.GET('/v1/traffic', { params: { query: { ...query, dates: '2026-02-30' } } });
const { data: csv } = await createClient<paths, 'text/csv'>({ baseUrl: url, headers: { 'X-API-Key': key } })
  .GET('/v1/traffic', { params: { query: { ...query, format: 'csv' } }, parseAs: 'text' });

check(data?.data, error, csv);
