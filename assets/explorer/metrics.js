/** The metrics by name: what people call them. */
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

/** What people call the metric; its own name where that is unknown. */
export function metricLabel(name) {
  return METRICS.get(name) ?? name;
}
