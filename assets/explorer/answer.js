import { announce } from './announce.js';
import { showCache } from './cache-card.js';
import { byId, make, withCode } from './dom.js';
import { answerSubtitle, answerTitle } from './format.js';
import { showTable } from './table.js';
import { showTotals } from './totals.js';

/**
 * Shows an answer: its title, notices, charts, cache outcome and rows; `nameOf` names a site. Returns a function that marks the
 * rows that the vendor has revised with their words.
 */
export function showAnswer(result, charts, nameOf) {
  const { answer } = result;
  const { meta, data } = answer;
  const empty = data.length === 0;
  byId('answer-title').textContent = answerTitle(meta);
  byId('answer-subtitle').textContent = answerSubtitle(meta);
  document.title = `${answerTitle(meta)} · Pitaya explorer`;
  showNotices(meta, nameOf);
  showTotals(answer);
  const sentence = showCache(result);
  if (empty) showEmpty('No rows', 'The query succeeded, but no bucket has any data. Try other dates, or show buckets without data.');

  const section = byId('answer');
  section.classList.remove('is-old');
  section.classList.toggle('is-empty', empty);
  section.hidden = false;
  // The charts measure their frame, so it must be visible before they are drawn.
  charts.show(answer);
  const mark = showTable(answer);
  announce(`${byId('row-count').textContent}. ${sentence}`);
  return (revised) => {
    charts.show(answer, revised);
    mark(revised);
  };
}

/** Dims the answer while another query runs. */
export function dimAnswer() {
  byId('empty').hidden = true;
  byId('answer').classList.add('is-old');
}

/** Hides the answer. */
export function hideAnswer() {
  byId('answer').hidden = true;
}

/** Shows a message in place of an answer. */
export function showEmpty(title, text) {
  byId('empty-title').textContent = title;
  byId('empty-text').textContent = text;
  byId('empty').hidden = false;
}

/** Shows what else the reader must know of an answer. */
export function showNotices({ stale, errors, comparison }, nameOf) {
  const notices = [];
  const leftOut = (comparison?.left_out ?? []).map(({ site_id: id, reason }) => `${nameOf(id)}, ${reason.replace('_', ' ')}`);
  if (leftOut.length) {
    notices.push(make('p', { className: 'notice', textContent: `Left out, since not open in both periods: ${leftOut.join('; ')}.` }));
  }
  if (stale) notices.push(make('p', { className: 'notice', textContent: 'Some of these figures are stale.' }));
  if (errors.length) {
    const items = errors.map(({ site_id: id, detail }) => make('li', {}, `${nameOf(id)}: `, ...withCode(detail)));
    notices.push(make('div', { className: 'notice' }, make('p', { textContent: 'Some figures are missing:' }), make('ul', {}, ...items)));
  }
  byId('notices').replaceChildren(...notices);
}
