import { readKey } from './key.js';

const KEPT_ANSWERS = 16;
const REVISIONS_AT_ONCE = 10_000;
const kept = new Map();

/** A failed request: the server's problem document (RFC 9457), or one of the page's own. */
export class Problem extends Error {
  constructor(document, retryAfter = null) {
    super(document.detail ?? document.title);
    this.document = document;
    this.retryAfter = retryAfter;
  }
}

/** Requests figures: `{answer, headers, status, milliseconds}`; status 304 means that the answer kept here is still valid. */
export async function askTraffic(path, { signal, requestId }) {
  const name = `${readKey()}\n${path}`;
  const earlier = kept.get(name);
  const conditional = earlier ? { 'If-None-Match': earlier.etag } : {};
  const began = performance.now();

  const response = await send(path, { signal, headers: { 'X-Request-Id': requestId, Accept: 'application/json', ...conditional } });
  if (response.status === 304 && earlier) {
    return { answer: earlier.answer, headers: response.headers, status: 304, milliseconds: performance.now() - began };
  }
  if (!response.ok) throw await readProblem(response);
  const answer = await readJson(response);
  const milliseconds = performance.now() - began;

  keep(name, response.headers.get('ETag'), answer);
  return { answer, headers: response.headers, status: response.status, milliseconds };
}

/** The figures in the format that `path` names, as a blob. */
export async function askFile(path) {
  const response = await send(path, {});
  if (!response.ok) throw await readProblem(response);
  return response.blob();
}

/** The sites that the caller may see. */
export async function askSites() {
  const response = await send('/v1/sites', { headers: { Accept: 'application/json' } });
  if (!response.ok) throw await readProblem(response);
  return (await readJson(response)).data ?? [];
}

/** The events about these sites and metrics that were seen since a time, the oldest first. */
export async function askRevisions({ sites, metrics, since }) {
  const path = `/v1/revisions?sites=${sites.join()}&metric=${metrics.join()}&limit=${REVISIONS_AT_ONCE}`;
  const events = [];
  let from = `&since=${since}`;
  for (;;) {
    let response = await send(path + from, { headers: { Accept: 'application/json' } });
    // The feed does not reach back so far: what is left of it.
    if (response.status === 410) response = await send(path, { headers: { Accept: 'application/json' } });
    if (!response.ok) throw await readProblem(response);
    const { data, next } = await readJson(response);
    events.push(...data);
    if (data.length < REVISIONS_AT_ONCE) return events;
    from = `&since=${next}`;
  }
}

/** Progress of a running query, or `null` if the server does not report it. */
export async function askProgress(requestId, signal) {
  const response = await send(`/v1/progress/${requestId}`, { signal });
  return response.ok ? readJson(response) : null;
}

/** A new request id; `crypto.randomUUID` exists only on secure origins, and Pitaya may run on an insecure one. */
export function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function send(path, { signal, headers = {} }) {
  const key = readKey();
  const authorization = key === '' ? {} : { Authorization: `Bearer ${key}` };
  try {
    // Without the browser's own cache, which would show the headers of an earlier answer.
    return await fetch(path, { signal, cache: 'no-store', headers: { ...authorization, ...headers } });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem({ title: 'Pitaya could not be reached', detail: 'The connection failed. Is the service running?' });
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem({ title: 'The answer could not be read', detail: 'It broke off, or is not JSON.', status: response.status });
  }
}

async function readProblem(response) {
  const requestId = response.headers.get('X-Request-Id');
  const retryAfter = Number.parseInt(response.headers.get('Retry-After') ?? '', 10);
  const fallback = { title: `The server answered ${response.status}`, status: response.status, request_id: requestId };
  const type = response.headers.get('Content-Type') ?? '';
  const document = type.includes('json') ? await response.json().catch(() => ({})) : {};
  return new Problem({ ...fallback, ...document }, Number.isNaN(retryAfter) ? null : retryAfter);
}

function keep(name, etag, answer) {
  kept.delete(name);
  if (etag === null) return;
  kept.set(name, { etag, answer });
  if (kept.size > KEPT_ANSWERS) kept.delete(kept.keys().next().value);
}
