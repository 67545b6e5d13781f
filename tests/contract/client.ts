// A client as users would write it: if this compiles, the document's types are the natural ones.

import createClient from 'openapi-fetch';
import type { components, paths } from './generated/pitaya';

type Schemas = components['schemas'];

const pitaya = createClient<paths, 'application/json' | 'application/problem+json'>({ baseUrl: 'http://127.0.0.1:8080', headers: { Authorization: 'Bearer key' } });

/** Entrances by site and day; a figure that was not observed stays `null`. */
export async function entrances(sites: number[]): Promise<Map<number, (number | null)[]>> {
  const { data, error } = await pitaya.GET('/v1/traffic', {
    params: { query: { sites, dates: 'last_7_days', metric: ['entrances', 'dwell_time'], bucket: 'day', group_by: 'site' } },
  });
  if (error) throw new Error(`${error.title}: ${error.errors.map((fault) => `${fault.parameter} ${fault.detail}`).join(', ')}`);

  const bySite = new Map<number, (number | null)[]>();
  for (const { site_id, entrances: figure } of data.data) {
    if (site_id === undefined) continue;
    bySite.set(site_id, [...(bySite.get(site_id) ?? []), figure ?? null]);
  }
  return bySite;
}

/** Entrances by the region of a chain: the field of a tag's key is there, but the document does not know its name. */
export async function byRegion(): Promise<Map<unknown, number | null>> {
  const { data } = await pitaya.GET('/v1/traffic', {
    params: { query: { sites: ['all', '-tag:outlet', 750], dates: 'yesterday', metric: ['entrances'], bucket: 'day', group_by: 'region' } },
  });
  return new Map((data?.data ?? []).map((row) => [row['region'], row.entrances ?? null]));
}

/** The codes of the outlets. */
export async function outlets(): Promise<string[]> {
  const { data } = await pitaya.GET('/v1/sites', { params: { query: { tag: 'outlet' } } });
  return (data?.data ?? []).map(({ code, tags }) => `${code ?? 'no code'}: ${(tags ?? []).join(', ')}`);
}

/** The names of the sites, and where these are. */
export async function siteNames(): Promise<string[]> {
  const { data } = await pitaya.GET('/v1/sites');
  return (data?.data ?? []).map(({ site_id, name, timezone }) => `${name ?? site_id} (${timezone ?? 'somewhere'})`);
}

/** The share of reports that a query under way has seen. */
export async function progress(requestId: string): Promise<number | undefined> {
  const { data } = await pitaya.GET('/v1/progress/{request_id}', { params: { path: { request_id: requestId } } });
  return data && data.reports_done / data.reports_total;
}

// Words are unions, lists are lists, and required members are neither optional nor nullable.
export const metric: Schemas['Metric'] = 'peak_occupancy';
export const bucket: Schemas['Bucket'] = 'week';
export const calendar: (meta: Schemas['Meta']) => string = (meta) => meta.calendar ?? 'gregorian';
export const week: (row: Schemas['Row']) => number | undefined = (row) => row.week;
export const columns: (meta: Schemas['Meta']) => string[] = (meta) => meta.metrics.map((column) => `${column.name}: ${column.over_time}`);
// @ts-expect-error: no such metric.
export const unknown: Schemas['Metric'] = 'entrences';
