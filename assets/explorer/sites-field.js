import { byId, make } from './dom.js';
import { splitList } from './query.js';

const SHOWN = 100;

/** The field of the sites: a list of boxes with a filter, which also accepts ids. */
export class SitesField {
  #known = new Map();
  #chosen = [];
  #pinned = new Set();
  #words = new Set();
  #changed;

  /** Calls `changed` after each change of the choice. */
  constructor(changed) {
    this.#changed = changed;
    const filter = byId('sites-filter');
    filter.addEventListener('input', () => this.#showList());
    filter.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || filter.value.trim() === '') return;
      event.preventDefault();
      this.takeTyped();
    });
    byId('sites-all').addEventListener('click', () => this.#choose([...this.#chosen, ...this.#matches().map(([id]) => id)]));
    byId('sites-none').addEventListener('click', () => this.#choose([]));
  }

  /** The choice in the form that the API accepts. */
  get value() {
    return this.#chosen.join(',');
  }

  // The sites of a query are first in the list; a choice by hand does not move them.
  set value(text) {
    this.#pinned = new Set(splitList(text));
    this.#chosen = [...this.#pinned];
    this.#show();
  }

  /** The first `count` known sites, by id. */
  first(count) {
    return [...this.#known.keys()].sort((a, b) => a - b).slice(0, count).join(',');
  }

  /** The keys of the tags of known sites, in order. */
  get tagKeys() {
    const keys = [...this.#words].map((word) => /^tag:([a-z][a-z0-9_]*)=/.exec(word)?.[1]);
    return [...new Set(keys.filter((key) => key !== undefined))].sort();
  }

  /** Adds sites to choose from: `{site_id, name, code, tags}`. */
  learn(sites) {
    for (const { site_id: id, name, code, tags } of sites) {
      if (code) this.#words.add(`code:${code}`);
      for (const tag of tags ?? []) this.#words.add(`tag:${tag}`);
      if (name || !this.#known.has(String(id))) this.#known.set(String(id), name ?? '');
    }
    this.#show();
  }

  /** Forgets the sites to choose from: another caller may see others. */
  forget() {
    this.#known.clear();
    this.#words.clear();
    this.#show();
  }

  /** Adds the typed text to the choice: the only site of that name, or ids. */
  takeTyped() {
    const filter = byId('sites-filter');
    const typed = filter.value.trim();
    if (typed === '') return;
    const matches = this.#matches();
    filter.value = '';
    this.#choose([...this.#chosen, ...(/\D/.test(typed) && matches.length === 1 ? [matches[0][0]] : splitList(typed))]);
  }

  #choose(ids) {
    this.#chosen = [...new Set(ids)];
    this.#show();
    this.#changed();
  }

  #toggle(id) {
    const without = this.#chosen.filter((chosen) => chosen !== id);
    this.#choose(without.length < this.#chosen.length ? without : [...this.#chosen, id]);
  }

  #matches() {
    const wanted = byId('sites-filter').value.trim().toLocaleLowerCase();
    return [...this.#known]
      .filter(([id, name]) => name.toLocaleLowerCase().includes(wanted) || id.startsWith(wanted))
      .sort((a, b) => this.#rank(a) - this.#rank(b) || a[1].localeCompare(b[1]) || a[0] - b[0]);
  }

  #rank([id, name]) {
    return (this.#pinned.has(id) ? 0 : 2) + (name === '' ? 1 : 0);
  }

  #show() {
    const unknown = this.#chosen.filter((id) => !this.#known.has(id));
    byId('sites-chosen').replaceChildren(...unknown.map((id) => this.#chip(id)));
    byId('sites-count').textContent = this.#chosen.length ? `${this.#chosen.length} chosen` : '';
    this.#showWords();
    this.#showList();
  }

  #showWords() {
    const words = this.#words.size === 0 ? [] : ['all', ...[...this.#words].sort()];
    byId('sites-words').replaceChildren(...words.map((value) => make('option', { value })));
  }

  #chip(id) {
    const remove = make('button', { type: 'button', className: 'chip', textContent: id, 'aria-label': `Remove site ${id}` });
    remove.addEventListener('click', () => {
      this.#toggle(id);
      byId('sites-filter').focus();
    });
    return make('li', {}, remove);
  }

  // Boxes keep their places, so that the keyboard focus survives a choice.
  #showList() {
    const list = byId('sites-list');
    const matches = this.#matches();
    const shown = matches.slice(0, SHOWN);
    const held = new Map([...list.children].map((item) => [item.dataset.site, item]));
    const items = shown.map(([id, name]) => this.#option(held.get(id), id, name));
    if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) {
      list.replaceChildren(...items);
    }
    list.hidden = shown.length === 0;
    byId('sites-hint').textContent = this.#hint(matches.length);
  }

  #option(held, id, name) {
    const item = held?.dataset.name === name ? held : this.#newOption(id, name);
    item.querySelector('input').checked = this.#chosen.includes(id);
    return item;
  }

  #newOption(id, name) {
    const box = make('input', { type: 'checkbox', value: id });
    box.addEventListener('change', () => this.#toggle(id));
    const label = make('label', {}, box, make('span', { textContent: name || `Site ${id}` }), make('small', { textContent: id }));
    const item = make('li', {}, label);
    item.dataset.site = id;
    item.dataset.name = name;
    return item;
  }

  #hint(matches) {
    if (this.#known.size === 0) return 'No sites are known by name yet: type an id and press Enter.';
    if (matches === 0) return 'No site of that name. Press Enter to add an id, a code or a tag.';
    return matches > SHOWN ? `${SHOWN} of ${matches} sites shown: type to narrow them.` : '';
  }
}
