// Leaves out the pages and the probes, and the parts of answers (206), whose type is unknown: every answer would be.
export default {
  input: 'openapi.json',
  output: 'hey-api',
  parser: {
    filters: { tags: { exclude: ['Documentation', 'Operation', 'Drop-in'] } },
    patch: { operations: { 'GET /v1/traffic': (operation) => { delete operation.responses['206']; } } },
  },
};
