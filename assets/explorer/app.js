// Composes the page: its opening, its queries, and their failures.

import { announce } from './announce.js';
import { dimAnswer, hideAnswer, showAnswer, showEmpty, showNotices } from './answer.js';
import { Problem, askSites, askTraffic, newRequestId } from './api.js';
import { attachChartKind } from './chart-kind.js';
import { Charts } from './charts.js';
import { byId } from './dom.js';
import { Form } from './form.js';
import { acceptKey, askForKey, attachKey, readKey } from './key.js';
import { clearProblem, focusFault, showProblem } from './problems.js';
import { dateOf } from './series.js';
import { showProgress } from './progress.js';
import { attachRefresh, offerRefresh } from './refresh.js';
import { revisedRows } from './revisions.js';
import { pagePath, readQuery, writeQuery } from './query.js';
import { attachTheme } from './theme.js';
import { attachTools } from './tools.js';

const FIRST_SITES = 4;
const FIRST_QUERY = { ...readQuery(''), dates: 'last_7_days', metric: 'entrances', bucket: 'day' };

const form = new Form(submit, showChanged);
const charts = new Charts(zoom);
let running = null;
let shown = null;
let latest = null;

attachTheme(byId('theme'), () => charts.redraw());
attachChartKind(charts);
attachTools(() => shown);
attachRefresh(() => {
  if (running === null && shown !== null) run();
});
attachKey(() => {
  form.forget();
  clearProblem();
  dimAnswer();
  open();
});
byId('cancel').addEventListener('click', () => running?.abort());
// The fragment belongs to the chart, and following a link to `#results` would change the chart.
byId('skip').addEventListener('click', (event) => {
  event.preventDefault();
  byId('results').focus();
});
addEventListener('popstate', () => {
  if (location.search === latest) return;
  form.values = readQuery(location.search);
  run();
});
open();

/** Opens the query of the URL, or a default one if the URL has none. */
async function open() {
  if (location.search.length > 1) {
    form.values = readQuery(location.search);
    run();
    await learnSites();
    return;
  }

  form.values = FIRST_QUERY;
  const known = await learnSites();
  if (!known || location.search !== '') return;
  const sites = form.sites.first(FIRST_SITES);
  if (sites === '') {
    clearProblem();
    showEmpty('Run a first query', 'Type the id of a site, choose dates and metrics, and run the query.');
    return;
  }
  form.values = { ...FIRST_QUERY, sites };
  history.replaceState(null, '', writeQuery(form.values) + location.hash);
  run();
}

function nameOf(id) {
  return form.sites.nameOf(id);
}

/** Loads the sites to choose from; returns whether the server listed them. */
async function learnSites() {
  try {
    form.learn(await askSites());
    if (shown !== null) showNotices(shown.meta, nameOf);
    return true;
  } catch (error) {
    // A query in progress, or just answered, shows its own fault.
    const alone = running === null && shown === null && byId('banner').hidden;
    if (alone) fail(error, open);
    return false;
  }
}

function submit() {
  const search = writeQuery(form.values);
  if (search !== location.search) history.pushState(null, '', (search || '/') + location.hash);
  run({ asked: true });
}

/** Runs the query for the dates between two moments of a chart. */
function zoom(first, last) {
  const [from, to] = [first, last].map(dateOf);
  const { from: earliest, to: latestDate } = shown.meta;
  const ends = [from < earliest ? earliest : from, to > latestDate ? latestDate : to];
  form.values = { ...form.values, dates: ends[0] === ends[1] ? ends[0] : ends.join('..') };
  submit();
}

/** Runs the query of the URL; `asked`: the user has just pressed the button, so the focus may move. */
async function run({ asked = false } = {}) {
  running?.abort();
  running?.endProgress();
  const search = location.search;
  latest = search;
  const requestId = newRequestId();
  const controller = new AbortController();
  const attempt = { abort: () => controller.abort(), endProgress: showProgress(requestId) };
  running = attempt;
  clearProblem();
  dimAnswer();
  if (asked) revealResults();
  showChanged();
  announce('Asking Pitaya.');

  let show;
  try {
    const result = await askTraffic(pagePath(search), { signal: controller.signal, requestId });
    show = () => succeed(result, search);
  } catch (error) {
    show = () => fail(error, () => run({ asked: true }), asked);
  }
  // A later run has replaced this one.
  if (running !== attempt) return;
  running = null;
  attempt.endProgress();
  show();
  showChanged();
}

function succeed(result, search) {
  shown = { search, meta: result.answer.meta };
  if (readKey() !== '') acceptKey();
  form.learn(result.answer.meta.sites ?? []);
  const mark = showAnswer(result, charts, nameOf);
  offerRefresh(result.answer.meta);
  markRevised(result.answer, mark);
}

/** Marks the rows of the shown answer that were revised, unless another one is shown by then. */
async function markRevised(answer, mark) {
  const revised = await revisedRows(answer);
  if (revised.size > 0 && shown?.meta === answer.meta) mark(revised);
}

function fail(error, retry, asked = false) {
  shown = null;
  hideAnswer();
  announce('');
  if (error.name === 'AbortError') {
    showEmpty('Cancelled', 'Run the query again whenever you like. Pitaya caches the figures that it has fetched meanwhile.');
    return;
  }
  const problem = error instanceof Problem ? error : new Problem({ title: 'The page failed', detail: String(error) });
  showProblem(problem, retry);
  if (problem.document.status === 401) {
    askForKey(readKey() === '' ? 'This server wants an API key.' : 'The server does not take this key.');
  } else if (asked) {
    focusFault();
  }
}

// On a narrow page the results are below the form, out of sight.
function revealResults() {
  const results = byId('results');
  if (results.getBoundingClientRect().top > innerHeight / 2) results.scrollIntoView();
}

function showChanged() {
  byId('unrun').hidden = shown === null || running !== null || form.isAt(shown.search);
}
