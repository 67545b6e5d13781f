import { byId } from './dom.js';

const NAME = 'pitaya-key';
let held = restore();

/** The API key of this tab, or an empty text. */
export function readKey() {
  return held;
}

/** Handles the key's form; calls `changed` after each change of the key. */
export function attachKey(changed) {
  const field = byId('key');

  byId('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const key = field.value.trim();
    if (key === '' || /[^\x21-\x7e]/.test(key)) {
      showFault(key === '' ? 'Type a key first.' : 'A key has only plain letters, digits and signs, and no blanks.');
      return;
    }
    keep(key);
    field.value = '';
    showState();
    changed();
  });
  byId('key-forget').addEventListener('click', () => {
    keep('');
    field.value = '';
    showState();
    changed();
  });
  showState();
}

/** Opens the key's field and shows the reason. */
export function askForKey(reason) {
  if (held !== '') byId('key-state').textContent = 'refused';
  byId('key-details').open = true;
  showFault(reason);
  byId('key').focus();
}

/** Closes the key's field after the server accepted the key. */
export function acceptKey() {
  showState();
  byId('key-details').open = false;
}

function showState() {
  hideFault();
  byId('key-state').textContent = held === '' ? 'none' : 'set for this tab';
  byId('key-forget').hidden = held === '';
}

function showFault(text) {
  byId('key').setAttribute('aria-invalid', 'true');
  byId('key-fault').textContent = text;
  byId('key-fault').hidden = false;
}

function hideFault() {
  byId('key').removeAttribute('aria-invalid');
  byId('key-fault').hidden = true;
}

function restore() {
  try {
    return sessionStorage.getItem(NAME) ?? '';
  } catch {
    return '';
  }
}

function keep(key) {
  held = key;
  try {
    if (key === '') sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
  } catch {
    // The browser refuses storage: the key lasts as long as the page.
  }
}
