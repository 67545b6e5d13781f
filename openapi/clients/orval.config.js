// Leaves out the pages and the probes, and two formats: with NDJSON, orval takes every answer for a stream, and with XLSX for a file.
export default {
  pitaya: {
    input: { target: 'openapi.json', filters: { mode: 'exclude', tags: ['Documentation', 'Operation', 'Drop-in'] } },
    output: {
      target: 'orval.gen.ts',
      client: 'fetch',
      baseUrl: process.env.TRAFFIC_URL ?? 'http://localhost:8080',
      override: { contentType: { exclude: ['application/x-ndjson', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'] } },
    },
  },
};
