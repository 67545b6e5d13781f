import { DatesField } from './dates-field.js';
import { byId, fillOptions, select } from './dom.js';
import { MetricsField } from './metrics-field.js';
import { readQuery, writeQuery } from './query.js';
import { SitesField } from './sites-field.js';

const BUCKETS = [
  ['5m', '5 minutes'], ['10m', '10 minutes'], ['15m', '15 minutes'], ['20m', '20 minutes'], ['30m', '30 minutes'],
  ['hour', 'Hour'], ['2h', '2 hours'], ['3h', '3 hours'], ['4h', '4 hours'], ['6h', '6 hours'], ['8h', '8 hours'], ['12h', '12 hours'],
  ['day', 'Day'], ['week', 'Week'], ['month', 'Month'], ['quarter', 'Quarter'], ['year', 'Year'], ['total', 'Total'],
  ['hour_of_day', 'Hour of the day'], ['day_of_week', 'Day of the week'], ['hour_of_week', 'Busiest hours of the week'],
];
const GROUPINGS = [['site', 'A series for each site'], ['none', 'All sites combined']];
const OTHER_NAMES = { '60m': 'hour', '1h': 'hour', '24h': 'day', '1d': 'day', '1w': 'week' };
const CHOICES = {
  compare: [
    ['', 'Nothing'], ['previous_period', 'The period before'], ['previous_week', 'A week before'],
    ['previous_year', 'A year before'], ['previous_year_weekday', 'The same weekdays a year before'],
  ],
  bucket: BUCKETS,
  group_by: GROUPINGS,
  fill: [['null', 'Show as gaps'], ['zero', 'Show counts as 0'], ['none', 'Leave out']],
  partial: [['deny', 'No answer at all'], ['allow', 'Show the others']],
};
const TEXTS = ['hours', 'customer'];

/** The form: shows the values of a query, and provides those of the next one. */
export class Form {
  #sites;
  #dates;
  #metrics;

  /** Calls `submitted` to run the query, and `changed` after each change of a field. */
  constructor(submitted, changed) {
    this.#sites = new SitesField(changed);
    this.#dates = new DatesField(changed);
    this.#metrics = new MetricsField(changed);
    for (const [name, options] of Object.entries(CHOICES)) {
      fillOptions(byId(name), options);
      byId(name).addEventListener('change', changed);
    }
    for (const name of TEXTS) byId(name).addEventListener('input', changed);
    byId('compare').addEventListener('change', () => this.#offerComparable());
    byId('comparable').addEventListener('change', changed);
    byId('query').addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#sites.takeTyped()) submitted();
      else byId('sites-filter').focus();
    });
  }

  /** The sites to choose from. */
  get sites() {
    return this.#sites;
  }

  /** Adds sites to choose from, and series for each value of their tags' keys. */
  learn(sites) {
    this.#sites.learn(sites);
    this.#showGroupings();
  }

  /** Forgets the sites to choose from: another caller may see others. */
  forget() {
    this.#sites.forget();
    this.#showGroupings();
  }

  // Without a comparison there is nothing to leave out of it, and the API refuses the parameter.
  #offerComparable() {
    byId('comparable').disabled = byId('compare').value === '';
  }

  #showGroupings() {
    const { value } = byId('group_by');
    fillOptions(byId('group_by'), [...GROUPINGS, ...this.#sites.tagKeys.map((key) => [key, `A series for each ${key}`])]);
    select(byId('group_by'), value);
  }

  /** Every parameter as text. */
  get values() {
    const values = { sites: this.#sites.value, dates: this.#dates.value, metric: this.#metrics.value };
    for (const name of Object.keys(CHOICES)) values[name] = byId(name).value;
    for (const name of TEXTS) values[name] = byId(name).value.trim();
    const { checked, disabled } = byId('comparable');
    values.comparable = String(checked && !disabled);
    return values;
  }

  /** Whether the form matches the query string `search`. */
  isAt(search) {
    return writeQuery(this.values) === writeQuery(readQuery(search));
  }

  set values(values) {
    this.#sites.value = values.sites;
    this.#dates.value = values.dates;
    this.#metrics.value = values.metric;
    for (const name of Object.keys(CHOICES)) select(byId(name), OTHER_NAMES[values[name]] ?? values[name]);
    for (const name of TEXTS) byId(name).value = values[name];
    byId('comparable').checked = values.comparable === 'true';
    this.#offerComparable();
    byId('more').open ||= ['hours', 'customer'].some((name) => values[name] !== '')
      || values.group_by !== 'site' || values.fill !== 'null' || values.partial !== 'deny';
  }
}
