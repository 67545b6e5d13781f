// Leaves out the pages and the probes, and NDJSON: with it, orval takes every answer for a stream, even JSON.
export default {
  pitaya: {
    input: { target: 'openapi.json', filters: { mode: 'exclude', tags: ['Documentation', 'Operation', 'Drop-in'] } },
    output: {
      target: 'orval.gen.ts',
      client: 'fetch',
      baseUrl: process.env.TRAFFIC_URL ?? 'http://localhost:8080',
      override: { contentType: { exclude: ['application/x-ndjson'] } },
    },
  },
};
