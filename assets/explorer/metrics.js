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

/** The label of the metric; its name if it is unknown. */
export function metricLabel(name) {
  return METRICS.get(name) ?? name;
}
