const STEPS = { plan: 'Planning', vendor: 'Waiting for the vendor', rollup: 'Rolling up', render: 'Rendering' };

/** The only member of a `Cache-Status` field (RFC 9211) as a map of its parameters. */
export function parseCacheStatus(field) {
  const [, ...parts] = (field ?? '').split(';');
  return new Map(
    parts.map((part) => {
      const [name, ...value] = part.trim().split('=');
      return [name, value.length ? value.join('=').replace(/^"(.*)"$/, '$1') : true];
    }),
  );
}

/** The steps of a `Server-Timing` field: `{label, milliseconds}`. */
export function parseServerTiming(field) {
  return (field ?? '')
    .split(',')
    .map((entry) => /^\s*([^;\s]+).*?;\s*dur=([\d.]+)/.exec(entry))
    .filter((match) => match !== null)
    .map(([, name, duration]) => ({ label: STEPS[name] ?? name, milliseconds: Number(duration) }));
}

/** The cache outcome in a word and a sentence: `{verdict, sentence}`. */
export function cacheWords(field, status) {
  const facts = parseCacheStatus(field);
  const { verdict, sentence } = outcome(facts);
  const shared = facts.has('collapsed') ? ' Another query was already fetching the same figures, and shared its fetch.' : '';
  if (status === 304) {
    return { verdict: 'unchanged', sentence: `Nothing has changed since the last request of this page (304), so the server did not send the figures again. ${sentence}${shared}` };
  }
  return { verdict, sentence: sentence + shared };
}

function outcome(facts) {
  const ttl = Number(facts.get('ttl') ?? 0);
  const detail = facts.get('detail');
  if (facts.has('hit')) {
    if (detail === 'stale-if-error') {
      return { verdict: 'stale', sentence: `The vendor has just failed, so these are older figures, ${span(-ttl)} past their TTL.` };
    }
    if (ttl < 0 || detail === 'stale-while-revalidate') {
      return { verdict: 'stale', sentence: `Answered from the cache at once, ${span(-ttl)} past the TTL; a refresh runs in the background.` };
    }
    return { verdict: 'hit', sentence: `Answered from the cache: the vendor was not asked. Fresh for another ${span(ttl)}.` };
  }
  const stored = facts.has('stored') ? ' Pitaya keeps the figures for the next query.' : ' Pitaya does not keep the figures.';
  if (facts.get('fwd') === 'miss') return { verdict: 'miss', sentence: `No figures were cached: Pitaya fetched all of them from the vendor.${stored}` };
  if (facts.get('fwd') === 'partial') {
    return { verdict: 'partial', sentence: `Some figures were cached; Pitaya fetched only the rest from the vendor.${stored}` };
  }
  return { verdict: 'unknown', sentence: 'The server did not report its cache outcome.' };
}

/** A duration in words, from seconds. */
export function span(seconds) {
  const units = [[86400, 'day'], [3600, 'hour'], [60, 'minute']];
  for (const [size, unit] of units) {
    if (seconds < 2 * size) continue;
    return `${Math.floor(seconds / size)} ${unit}s`;
  }
  return seconds === 1 ? '1 second' : `${seconds} seconds`;
}
