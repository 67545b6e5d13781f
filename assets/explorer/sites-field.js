import { byId, make } from './dom.js';
import { splitList } from './query.js';

const SHOWN = 100;
const FORMS = 'an id (750), a code (code:T-0412), a tag (tag:region=North), or all';
const STEPS = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };

/** The field of the sites: a list of boxes with a filter, which also accepts ids, codes and tags. */
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
    filter.addEventListener('input', () => {
      filter.removeAttribute('aria-invalid');
      this.#showList();
    });
    filter.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || filter.value.trim() === '') return;
      event.preventDefault();
      this.takeTyped();
    });
    byId('sites-list').addEventListener('keydown', (event) => this.#moveFocus(event));
    byId('sites-all').addEventListener('click', () => this.#choose([...this.#chosen, ...this.#matches().map(({ id }) => id)]));
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

  /** The name of a site, with its id; the id alone if it has none. */
  nameOf(id) {
    const name = this.#known.get(String(id))?.name;
    return name ? `${name} (${id})` : `site ${id}`;
  }

  /** Adds sites to choose from: `{site_id, name, code, tags}`. */
  learn(sites) {
    for (const { site_id, name, code, tags } of sites) {
      const id = String(site_id);
      const earlier = this.#known.get(id);
      const words = [...(code ? [`code:${code}`] : []), ...(tags ?? []).map((tag) => `tag:${tag}`)];
      for (const word of words) this.#words.add(word);
      this.#known.set(id, { id, name: name || earlier?.name || '', code: code ?? earlier?.code ?? '', words: words.length ? words : (earlier?.words ?? []) });
    }
    this.#show();
  }

  /** Forgets the sites to choose from: another caller may see others. */
  forget() {
    this.#known.clear();
    this.#words.clear();
    this.#show();
  }

  /** Adds the typed text to the choice; returns whether it means something, and says what can be typed if it does not. */
  takeTyped() {
    const filter = byId('sites-filter');
    const typed = filter.value.trim();
    if (typed === '') return true;
    // A name may contain a comma.
    const whole = this.#meaning(typed);
    const meanings = whole ? [whole] : splitList(typed).map((word) => this.#meaning(word));
    const isClear = meanings.length > 0 && !meanings.includes(null);
    if (isClear) {
      filter.value = '';
      filter.removeAttribute('aria-invalid');
      this.#choose([...this.#chosen, ...meanings]);
    } else {
      filter.setAttribute('aria-invalid', 'true');
      byId('sites-hint').textContent = this.#matches().length > 1
        ? 'Several sites match: choose them in the list.'
        : `No site has this name, code or tag. Type ${FORMS}.`;
    }
    return isClear;
  }

  // What the API is asked for: the word itself, or the site or sites with that code, tag or name.
  #meaning(typed) {
    if (/^-?(\d+|all|code:.+|tag:.+)$/.test(typed)) return typed;
    const wanted = typed.toLocaleLowerCase();
    const word = [...this.#words].find((word) => [`code:${wanted}`, `tag:${wanted}`].includes(word.toLocaleLowerCase()));
    if (word) return word;
    const sites = [...this.#known.values()];
    const named = sites.filter(({ name }) => name.toLocaleLowerCase() === wanted);
    const matches = named.length ? named : sites.filter((site) => isMatch(site, wanted));
    return matches.length === 1 ? matches[0].id : null;
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
    return [...this.#known.values()]
      .filter((site) => isMatch(site, wanted))
      .sort((a, b) => this.#rank(a) - this.#rank(b) || a.name.localeCompare(b.name, undefined, { numeric: true }) || a.id - b.id);
  }

  #rank({ id, name }) {
    return (this.#pinned.has(id) ? 0 : 2) + (name === '' ? 1 : 0);
  }

  #show() {
    const unknown = this.#chosen.filter((id) => !this.#known.has(id));
    byId('sites-chosen').replaceChildren(...unknown.map((id) => this.#chip(id)));
    byId('sites-count').textContent = this.#count();
    this.#showWords();
    this.#showList();
  }

  // Number of sites that the words mean, or of the words if one of them is unknown here.
  #count() {
    if (this.#chosen.length === 0) return '';
    const sitesOf = (word) => {
      if (/^\d+$/.test(word)) return [word];
      return [...this.#known.values()].filter(({ words }) => word === 'all' || words.includes(word)).map(({ id }) => id);
    };
    const excluded = this.#chosen.filter((word) => word.startsWith('-')).map((word) => sitesOf(word.slice(1)));
    const included = this.#chosen.filter((word) => !word.startsWith('-')).map(sitesOf);
    if ([...excluded, ...included].some((ids) => ids.length === 0)) return `${this.#chosen.length} chosen`;
    const count = new Set(included.flat()).difference(new Set(excluded.flat())).size;
    return count === 1 ? '1 site' : `${count} sites`;
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
    const items = shown.map((site) => this.#option(held.get(site.id), site));
    if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) {
      list.replaceChildren(...items);
    }
    list.hidden = shown.length === 0;
    this.#keepOneTabStop(list.querySelector('input[tabindex="0"]') ?? list.querySelector('input'));
    byId('sites-hint').textContent = this.#hint(matches.length);
  }

  #option(held, site) {
    const label = `${site.name} ${site.code}`;
    const item = held?.dataset.label === label ? held : this.#newOption(site, label);
    item.querySelector('input').checked = this.#chosen.includes(site.id);
    return item;
  }

  #newOption({ id, name, code }, label) {
    const box = make('input', { type: 'checkbox', value: id, tabIndex: -1 });
    box.addEventListener('change', () => this.#toggle(id));
    const item = make('li', {},
      make('label', {}, box, make('span', { textContent: name || `Site ${id}` }), make('small', { textContent: code ? `${code} · ${id}` : id })),
    );
    item.dataset.site = id;
    item.dataset.label = label;
    return item;
  }

  // The whole list is one stop of the Tab key; arrows move within it.
  #keepOneTabStop(stop) {
    for (const box of byId('sites-list').querySelectorAll('input')) box.tabIndex = box === stop ? 0 : -1;
  }

  #moveFocus(event) {
    const step = STEPS[event.key];
    const boxes = [...byId('sites-list').querySelectorAll('input')];
    const at = boxes.indexOf(event.target);
    if (step === undefined || at === -1) return;
    event.preventDefault();
    const target = boxes[Math.min(Math.max(at + step, 0), boxes.length - 1)];
    this.#keepOneTabStop(target);
    target.focus();
  }

  #hint(matches) {
    if (this.#known.size === 0) return `No sites are known yet: type ${FORMS}, and press Enter.`;
    if (matches === 0) return `No site has this name or code. Type ${FORMS}, and press Enter.`;
    return matches > SHOWN ? `${SHOWN} of ${matches} sites shown: type to narrow them.` : '';
  }
}

function isMatch({ id, name, code }, wanted) {
  return name.toLocaleLowerCase().includes(wanted) || code.toLocaleLowerCase().includes(wanted) || id.startsWith(wanted);
}
