/** The labels of the metrics, by name. */
export const METRICS = new Map([
  ['entrances', 'Entrances'],
  ['walk_bys', 'Walk-bys'],
  ['transactions', 'Transactions'],
  ['dwell_time', 'Dwell time'],
  ['occupancy', 'Occupancy'],
  ['peak_occupancy', 'Peak occupancy'],
  ['conversion_rate', 'Conversion rate'],
  ['capture_rate', 'Capture rate'],
]);

const RATES = new Set(['conversion_rate', 'capture_rate']);
const MEANS = new Set(['dwell_time', 'occupancy']);

/** Whether the metric is a ratio, which the page shows in percent. */
export function isRate(name) {
  return RATES.has(name);
}

/** Whether the metric is a mean, which has decimals. */
export function isMean(name) {
  return MEANS.has(name);
}

/** The label of the metric; its name if it is unknown. */
export function metricLabel(name) {
  return METRICS.get(name) ?? name;
}
