// Leaves out the pages and the probes.
export default {
  input: 'openapi.json',
  output: 'hey-api',
  parser: { filters: { tags: { exclude: ['Documentation', 'Operation', 'Drop-in'] } } },
};
