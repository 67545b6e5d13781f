import { getTraffic } from './hey-api/sdk.gen';
import { client } from './hey-api/client.gen';
import { check, key, url } from './check';

client.setConfig({ baseUrl: url, auth: (scheme) => (scheme.scheme === 'bearer' ? key : undefined) });
const query = { sites: [750, 751], dates: '2026-02-18', metric: ['entrances' as const], bucket: 'day' as const };

const { data } = await getTraffic({ query });
const { error } = await getTraffic({ query: { ...query, dates: '2026-02-30' } });
const { data: csv } = await getTraffic({ query: { ...query, format: 'csv' } });

// The type of an answer is the union of its forms: figures, or text.
if (typeof data === 'string' || (csv !== undefined && typeof csv !== 'string')) throw new TypeError('another form than asked for');
check(data?.data, error, csv);
