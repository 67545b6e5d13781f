import { byId, make } from './dom.js';
import { splitList } from './query.js';
import { METRICS, metricLabel } from './metrics.js';

/** The field of the metrics; it keeps their requested order, since the columns follow it. */
export class MetricsField {
  #chosen = [];
  #changed;

  /** Calls `changed` after each change of the choice. */
  constructor(changed) {
    this.#changed = changed;
    this.#show();
  }

  /** The choice in the form that the API accepts. */
  get value() {
    return this.#chosen.join(',');
  }

  set value(text) {
    this.#chosen = [...new Set(splitList(text))];
    this.#show();
  }

  #show() {
    const foreign = this.#chosen.filter((name) => !METRICS.has(name));
    byId('metrics').replaceChildren(...[...METRICS.keys(), ...foreign].map((name) => this.#pill(name)));
  }

  #pill(name) {
    const box = make('input', { type: 'checkbox', value: name, checked: this.#chosen.includes(name), 'data-control': '' });
    box.addEventListener('change', () => {
      const others = this.#chosen.filter((chosen) => chosen !== name);
      this.#chosen = box.checked ? [...others, name] : others;
      this.#changed();
    });
    return make('li', {}, make('label', {}, box, make('span', { textContent: metricLabel(name) })));
  }
}
