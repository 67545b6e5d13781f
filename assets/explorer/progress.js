import { askProgress } from './api.js';
import { byId } from './dom.js';

const TICK = 100;
const UNSEEN_FOR = 200;
const PATIENCE = 700;
const PERIOD = 500;

/** Shows a running query with its elapsed time and finished reports; the returned function ends it. A quick answer shows nothing. */
export function showProgress(requestId) {
  const began = performance.now();
  const polling = new AbortController();
  const tick = () => {
    byId('loading-elapsed').textContent = `${((performance.now() - began) / 1000).toFixed(1)} s`;
  };

  byId('loading-reports').textContent = '';
  byId('loading-bar').hidden = true;
  tick();
  const showing = setTimeout(() => {
    byId('loading').hidden = false;
  }, UNSEEN_FOR);
  const ticking = setInterval(tick, TICK);
  let waiting = setTimeout(poll, PATIENCE);

  async function poll() {
    const progress = await askProgress(requestId, polling.signal).catch(() => null);
    // Without progress from the server, the page shows only the elapsed time and sends no more requests.
    if (progress === null || polling.signal.aborted) return;
    showReports(progress);
    waiting = setTimeout(poll, PERIOD);
  }

  return () => {
    polling.abort();
    clearTimeout(showing);
    clearInterval(ticking);
    clearTimeout(waiting);
    byId('loading').hidden = true;
  };
}

function showReports({ reports_done: done, reports_total: total }) {
  if (!(total > 0)) return;
  const bar = byId('loading-bar');
  byId('loading-reports').textContent = `${done} of ${total} reports of the vendor are done.`;
  bar.max = total;
  bar.value = done;
  bar.hidden = false;
}
