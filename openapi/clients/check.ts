declare const process: { env: Record<string, string | undefined> };

/** Where Pitaya is, and a key. */
export const url = process.env.TRAFFIC_URL ?? 'http://localhost:8080';
export const key = process.env.TRAFFIC_KEY ?? '';

interface Row { site_id?: number; time?: string; entrances?: number | null }
interface Problem { type: string; errors?: { parameter: string; detail: string }[] }

/** Ends the program unless these are two sites on a day, the refusal of that day, and the same two rows as CSV. */
export function check(rows: Row[] | undefined, problem: Problem | undefined, csv: string | undefined): void {
  const sites = rows?.map((row) => row.site_id);
  const lines = rows?.map((row) => `${row.site_id},[^,]*,2026-02-18T00:00:00,${row.entrances}\r\n`) ?? [];
  const faults = {
    'two sites': sites?.join() === '750,751' && rows?.every((row) => typeof row.entrances === 'number'),
    'an error': problem?.type === '/problems/invalid-parameter' && problem.errors?.[0]?.parameter === 'dates',
    'a CSV': new RegExp(`^site_id,site_name,time,entrances\r\n${lines.join('')}$`).test(csv ?? ''),
  };
  const wrong = Object.entries(faults).filter(([, holds]) => !holds).map(([what]) => what);
  if (wrong.length > 0) throw new Error(`wrong: ${wrong.join(', ')}: ${JSON.stringify({ rows, problem, csv })}`);
  console.log('two sites, an error, a CSV');
}
