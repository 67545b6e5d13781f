import { byId } from './dom.js';

/** Has a screen reader say `text` when it next pauses. */
export function announce(text) {
  byId('announcer').textContent = text;
}
