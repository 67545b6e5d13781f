import { byId, make } from './dom.js';

/** Shows a problem: its faults at the fields they name, everything else in the banner; `retry` asks once more. */
export function showProblem({ document: problem, retryAfter }, retry) {
  clearProblem();
  const faults = problem.errors ?? [];
  const homeless = faults.filter((fault) => !showAtField(fault));
  const banner = byId('banner');

  banner.append(make('h2', { textContent: problem.title ?? 'The query failed' }));
  if (problem.detail) banner.append(make('p', { textContent: problem.detail }));
  if (homeless.length < faults.length) banner.append(make('p', { textContent: 'The fields concerned are marked in the form.' }));
  if (homeless.length) banner.append(make('ul', {}, ...homeless.map(line)));
  if (retryAfter !== null) banner.append(make('p', { textContent: `Worth another try in ${retryAfter} s.` }));
  banner.append(footer(problem, retry));
  banner.hidden = false;
}

/** Takes away what `showProblem` showed. */
export function clearProblem() {
  byId('banner').replaceChildren();
  byId('banner').hidden = true;
  for (const fault of document.querySelectorAll('#query .fault')) fault.remove();
  for (const control of document.querySelectorAll('#query [aria-invalid]')) {
    control.removeAttribute('aria-invalid');
    control.removeAttribute('aria-describedby');
  }
}

/** Moves the focus to the first field with a fault; whether there is one. */
export function focusFault() {
  const control = document.querySelector('#query [aria-invalid]');
  control?.focus();
  return control !== null;
}

function showAtField({ parameter, detail }) {
  const field = [...document.querySelectorAll('[data-parameter]')].find((field) => field.dataset.parameter === parameter);
  if (!field) return false;

  const id = `fault-${parameter}`;
  const earlier = byId(id);
  if (earlier) earlier.append(make('br'), detail);
  else field.append(make('p', { id, className: 'fault', textContent: detail }));
  for (const control of field.querySelectorAll('[data-control]')) {
    control.setAttribute('aria-invalid', 'true');
    control.setAttribute('aria-describedby', id);
  }
  field.closest('details')?.setAttribute('open', '');
  return true;
}

function line({ parameter, detail }) {
  return make('li', {}, make('code', { textContent: parameter }), `: ${detail}`);
}

function footer(problem, retry) {
  const parts = [make('button', { type: 'button', textContent: 'Try again', onclick: retry })];
  if (problem.type?.startsWith('/problems/')) parts.push(make('a', { href: problem.type, textContent: 'What this means' }));
  if (problem.status) parts.push(make('span', { textContent: `Status ${problem.status}` }));
  if (problem.request_id) parts.push(make('span', {}, 'Request ', make('code', { textContent: problem.request_id })));
  return make('div', { className: 'banner-foot' }, ...parts);
}
