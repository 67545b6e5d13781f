const STEPS = { plan: 'Planning', vendor: 'Waiting for the vendor', rollup: 'Rolling up', render: 'Rendering' };

/** The one member of a `Cache-Status` field (RFC 9211) as a map of its parameters. */
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

/** What the cache did, in a word and a sentence: `{verdict, sentence}`. */
export function cacheWords(field, status) {
  const facts = parseCacheStatus(field);
  const { verdict, sentence } = outcome(facts);
  const shared = facts.has('collapsed') ? ' Another query was already fetching it: its fetch was shared.' : '';
  if (status === 304) {
    return { verdict: 'unchanged', sentence: `Nothing has changed since this page last asked (304): no figures were sent again. ${sentence}${shared}` };
  }
  return { verdict, sentence: sentence + shared };
}

function outcome(facts) {
  const ttl = Number(facts.get('ttl') ?? 0);
  const detail = facts.get('detail');
  if (facts.has('hit')) {
    if (detail === 'stale-if-error') {
      return { verdict: 'stale', sentence: `The vendor failed just now, so these are older figures, ${span(-ttl)} past their time.` };
    }
    if (ttl < 0 || detail === 'stale-while-revalidate') {
      return { verdict: 'stale', sentence: `Answered from the cache at once, ${span(-ttl)} past its time; it is being refreshed behind.` };
    }
    return { verdict: 'hit', sentence: `Answered from the cache: the vendor was not asked. Fresh for another ${span(ttl)}.` };
  }
  const stored = facts.has('stored') ? ' It is kept for the next query.' : ' It was not kept.';
  if (facts.get('fwd') === 'miss') return { verdict: 'miss', sentence: `Nothing of it was cached: it was fetched from the vendor.${stored}` };
  if (facts.get('fwd') === 'partial') {
    return { verdict: 'partial', sentence: `Some of it was cached; only the rest was fetched from the vendor.${stored}` };
  }
  return { verdict: 'unknown', sentence: 'The server did not say what its cache did.' };
}

/** A length of time in words, from seconds. */
export function span(seconds) {
  const units = [[86400, 'day'], [3600, 'hour'], [60, 'minute']];
  for (const [size, unit] of units) {
    if (seconds < 2 * size) continue;
    return `${Math.floor(seconds / size)} ${unit}s`;
  }
  return seconds === 1 ? '1 second' : `${seconds} seconds`;
}
