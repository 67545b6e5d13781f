import { byId, make, withCode } from './dom.js';

/** Shows a problem in the banner, and its faults at the named fields as well; `retry` runs the query again. */
export function showProblem({ document: problem, retryAfter }, retry) {
  clearProblem();
  const faults = problem.errors ?? [];
  const marked = faults.filter(showAtField);
  const banner = byId('banner');

  banner.append(make('h2', { textContent: problem.title ?? 'The query failed' }));
  // The detail of several faults says only their number.
  if (faults.length > 1) banner.append(make('ul', {}, ...faults.map(line)));
  else if (problem.detail) banner.append(make('p', {}, ...withCode(problem.detail)));
  if (marked.length) banner.append(make('p', { textContent: `The form marks the ${marked.length === 1 ? 'field' : 'fields'}.` }));
  if (retryAfter !== null) banner.append(make('p', { textContent: `Try again in ${retryAfter} s.` }));
  banner.append(footer(problem, retry));
  banner.hidden = false;
}

/** Removes the output of `showProblem`. */
export function clearProblem() {
  byId('banner').replaceChildren();
  byId('banner').hidden = true;
  for (const fault of document.querySelectorAll('#query .fault')) fault.remove();
  for (const control of document.querySelectorAll('#query [aria-invalid]')) {
    control.removeAttribute('aria-invalid');
    control.removeAttribute('aria-describedby');
  }
}

/** Moves the focus to the first field with a fault; returns whether there is one. */
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
  if (earlier) earlier.append(make('br'), ...withCode(detail));
  else field.append(make('p', { id, className: 'fault' }, ...withCode(detail)));
  for (const control of field.querySelectorAll('[data-control]')) {
    control.setAttribute('aria-invalid', 'true');
    control.setAttribute('aria-describedby', id);
  }
  field.closest('details')?.setAttribute('open', '');
  return true;
}

function line({ parameter, detail }) {
  return make('li', {}, make('code', { textContent: parameter }), ': ', ...withCode(detail));
}

function footer(problem, retry) {
  const parts = [make('button', { type: 'button', textContent: 'Try again', onclick: retry })];
  if (problem.type?.startsWith('/problems/')) parts.push(make('a', { href: problem.type, textContent: 'Explanation' }));
  if (problem.status) parts.push(make('span', { textContent: `Status ${problem.status}` }));
  if (problem.request_id) parts.push(make('span', {}, 'Request ', make('code', { textContent: problem.request_id })));
  return make('div', { className: 'banner-foot' }, ...parts);
}
