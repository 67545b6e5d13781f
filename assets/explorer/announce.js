import { byId } from './dom.js';

/** Makes a screen reader read `text` at its next pause. */
export function announce(text) {
  byId('announcer').textContent = text;
}
