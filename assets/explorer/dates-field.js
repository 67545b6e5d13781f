import { byId, fillOptions, select } from './dom.js';

const RANGE = 'range';
const WORDS = [
  ['today', 'Today'],
  ['yesterday', 'Yesterday'],
  ['last_7_days', 'Last 7 days'],
  ['last_28_days', 'Last 28 days'],
  ['last_30_days', 'Last 30 days'],
  ['last_90_days', 'Last 90 days'],
  ['this_week', 'This week'],
  ['last_week', 'Last week'],
  ['this_month', 'This month'],
  ['last_month', 'Last month'],
  ['this_quarter', 'This quarter'],
  ['last_quarter', 'Last quarter'],
  ['this_year', 'This year'],
  ['last_year', 'Last year'],
  [RANGE, 'From … to …'],
];
const RANGE_FORM = /^(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?$/;

/** The field of the dates: a word, or two dates. */
export class DatesField {
  /** Calls `changed` after each change of the choice. */
  constructor(changed) {
    fillOptions(byId('dates-word'), WORDS);
    byId('dates-word').addEventListener('change', () => {
      this.#showRange();
      changed();
    });
    for (const end of ['dates-from', 'dates-to']) byId(end).addEventListener('change', changed);
  }

  /** The choice in the form that the API accepts. */
  get value() {
    if (byId('dates-word').value !== RANGE) return byId('dates-word').value;
    const from = byId('dates-from').value || byId('dates-to').value;
    const to = byId('dates-to').value || from;
    return from === to ? from : `${from}..${to}`;
  }

  set value(text) {
    const range = RANGE_FORM.exec(text);
    const ends = range ? [range[1], range[2] ?? range[1]] : ['', ''];
    [byId('dates-from').value, byId('dates-to').value] = ends;
    // A date picker refuses a nonexistent date, so the field shows such a text unchanged.
    const shown = range && byId('dates-from').value === ends[0] && byId('dates-to').value === ends[1];
    select(byId('dates-word'), shown ? RANGE : text);
    this.#showRange();
  }

  #showRange() {
    byId('dates-range').hidden = byId('dates-word').value !== RANGE;
  }
}
