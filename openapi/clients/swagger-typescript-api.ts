import { Api, type HttpResponse, type Problem, type Traffic } from './swagger.gen';
import { check, key, url } from './check';

const pitaya = new Api({ baseUrl: url, baseApiParams: { headers: { Authorization: `Bearer ${key}` } } });
const query = { sites: [750, 751], dates: '2026-02-18', metric: ['entrances' as const], bucket: 'day' as const };

const figures = await pitaya.traffic.getTraffic(query);
// A refusal is thrown.
const refused: HttpResponse<Traffic, Problem> = await pitaya.traffic.getTraffic({ ...query, dates: '2026-02-30' }).catch((answer) => answer);
// The type knows only JSON: the text has to be asked for.
const csv = await pitaya.traffic.getTraffic({ ...query, format: 'csv' }, { format: 'text' });

check(figures.data.data, refused.error, csv.data as unknown as string);
